<?php

declare(strict_types=1);

// Where PHP's FFI finds the members of the structs of bpos.ffi.h: `php layout.php HEADER LIBRARY`.

$ffi = FFI::cdef(file_get_contents($argv[1]), $argv[2]);
foreach (['bpos_error', 'bpos_buffer', 'bpos_decision'] as $name) {
    $type = $ffi->type($name);
    echo "$name {$type->getSize()}\n";
    foreach ($type->getStructFieldNames() as $member) {
        echo "$name.$member {$type->getStructFieldOffset($member)}\n";
    }
}
