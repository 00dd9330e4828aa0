<?php

declare(strict_types=1);

// What a call costs: `php bench.php LIBRARY` prints the rows of the table of docs/other-languages.md.

require __DIR__ . '/suite.php';

const CALLS = 200_000;

[, $library] = $argv;
$header = HOME . '/include/bpos.ffi.h';

/** Prints the best of five, in microseconds a call: what else the machine does only adds. */
function measure(string $what, int $calls, callable $run): void
{
    $best = INF;
    for ($round = 0; $round < 5; $round++) {
        $start = hrtime(true);
        $run($calls);
        $best = min($best, (hrtime(true) - $start) / $calls / 1000);
    }
    printf("| %s | %.2f |\n", $what, $best);
}

$ffi = FFI::cdef(file_get_contents($header), $library);
Bpos::load($library, $header);
$bpos = Bpos::fromJson(DOCUMENT);
$key = $bpos->create([...SPEC, 'rate_limit' => 1000])->key->expose();
$us = 0; // moves on by 60 ms a call, so that the limit admits each

printf("PHP %s, the best of five\n\n| | µs |\n|---|---|\n", PHP_VERSION);
measure('a bare FFI call (`bpos_abi_version`)', CALLS, function (int $calls) use ($ffi) {
    for ($i = 0; $i < $calls; $i++) {
        $ffi->bpos_abi_version();
    }
});
measure('`authorize`, allowed', CALLS, function (int $calls) use ($bpos, $key, &$us) {
    for ($i = 0; $i < $calls; $i++) {
        $bpos->authorize($key, 'yourstore', 'GET', TARGET, [0, $us += 60_100]);
    }
});
measure('`authorize`, allowed, and its headers', CALLS, function (int $calls) use ($bpos, $key, &$us) {
    for ($i = 0; $i < $calls; $i++) {
        $bpos->authorize($key, 'yourstore', 'GET', TARGET, [0, $us += 60_100])->headers();
    }
});
measure('`authorize`, denied, its headers and body', CALLS, function (int $calls) use ($bpos) {
    for ($i = 0; $i < $calls; $i++) {
        $decision = $bpos->authorize('bpos_0123456789abcdef', 'yourstore', 'GET', TARGET);
        $decision->headers();
        $decision->body();
    }
});
measure('`FFI::cdef` of the header, which `ffi.preload` does once', 200, function (int $calls) use ($library, $header) {
    for ($i = 0; $i < $calls; $i++) {
        FFI::cdef(file_get_contents($header), $library);
    }
});
same(200, $bpos->authorize($key, 'yourstore', 'GET', TARGET, [0, $us + 60_100])->status);
