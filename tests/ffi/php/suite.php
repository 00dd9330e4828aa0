<?php

declare(strict_types=1);

// What the tests in PHP share. A test is a function that throws where its behaviour is broken.

const HOME = __DIR__ . '/../../..';
const DOCUMENT = '{"version": 1, "keys": []}';
const SPEC = ['name' => 'Website Sync', 'store' => 'yourstore', 'scopes' => ['products:read']];
const TARGET = '/api/v1/products';

require HOME . '/examples/php/Bpos.php';

$passed = $failed = 0;

function test(string $behaviour, callable $shown): void
{
    global $passed, $failed;
    try {
        $shown();
        $passed++;
    } catch (Throwable $error) {
        $failed++;
        $trace = $error->getTrace();
        $line = ($trace[0]['file'] ?? '') === __FILE__ ? ($trace[1]['line'] ?? 0) : ($trace[0]['line'] ?? 0);
        echo "FAILED  $behaviour, line $line: {$error->getMessage()}\n";
    }
}

function same(mixed $expected, mixed $found, string $what = ''): void
{
    if ($expected !== $found) {
        [$wanted, $given] = [var_export($expected, true), var_export($found, true)];
        throw new LogicException("$what expected $wanted, found $given");
    }
}

/** The function throws a BposException with this status and, somewhere in its message, this text. */
function fails(string $status, string $text, callable $call): void
{
    try {
        $call();
    } catch (BposException $error) {
        same($status, $error->status);
        same(true, str_contains($error->getMessage(), $text), "\"{$error->getMessage()}\" has \"$text\":");

        return;
    }
    throw new LogicException('nothing was thrown');
}

/** An empty folder, which is gone afterwards. */
function folder(): string
{
    $folder = sys_get_temp_dir() . '/bpos-' . bin2hex(random_bytes(8));
    mkdir($folder, 0700);
    register_shutdown_function(function () use ($folder) {
        array_map('unlink', glob("$folder/{,.}*[!.]", GLOB_BRACE));
        rmdir($folder);
    });

    return $folder;
}

function finish(): never
{
    global $passed, $failed;
    echo "$passed passed, $failed failed\n";
    exit($failed === 0 ? 0 : 1);
}
