<?php

declare(strict_types=1);

// Bpos::kept(), the registry that outlives a request: `php -d ffi.preload=SCOPE kept.php`, of which SCOPE is the header
// with keep.c's variables. What is kept first here is kept to the end, as in a worker of PHP-FPM.

require __DIR__ . '/suite.php';

function keys(string $path): string
{
    file_put_contents($path, DOCUMENT);
    chmod($path, 0600);

    return $path;
}

function left(Bpos $bpos, string $key): int
{
    return $bpos->authorize($key, 'yourstore', 'GET', TARGET)->remaining;
}

[$folder, $elsewhere] = [folder(), folder()];
[$path, $other] = [keys("$folder/keys.json"), keys("$elsewhere/keys.json")];
$key = Bpos::open($path)->create(SPEC)->key->expose();
$options = ['policy' => ['scopes' => [['name' => 'a:read']], 'routes' => []]];

test('what cannot be opened is not kept', function () {
    fails('io', 'No such file', fn () => Bpos::kept('/nowhere/keys.json'));
});
test('one path and its options are one registry, which counts on', function () use ($path, $key) {
    same([59, 58], [left(Bpos::kept($path), $key), left(Bpos::kept($path), $key)]);
});
test('another path or other options are refused, not ignored', function () use ($path, $other, $options) {
    fails('invalid_argument', $other, fn () => Bpos::kept($other));
    foreach ([$options, ['read_only' => true], ['read_only' => false], ['polcy' => 1]] as $others) {
        fails('invalid_argument', 'one process keeps one registry', fn () => Bpos::kept($path, $others));
    }
    fails('invalid_argument', '', fn () => Bpos::kept("$path\0"));
});
test('a relative path is that of its folder', function () use ($folder, $elsewhere, $key) {
    chdir($folder);
    same(57, left(Bpos::kept('keys.json'), $key));
    chdir($elsewhere);
    fails('invalid_argument', "$elsewhere/keys.json", fn () => Bpos::kept('keys.json'));
});
test('close lets go of the registry for one object, and the others go on', function () use ($path, $key) {
    [$closed, $open] = [Bpos::kept($path), Bpos::kept($path)];
    $closed->close();
    $closed->close();
    same(500, $closed->authorize($key, 'yourstore', 'GET', TARGET)->status);
    fails('invalid_argument', 'the registry is closed', fn () => $closed->list('yourstore'));
    same([56, 55], [left($open, $key), left(Bpos::kept($path), $key)]);
});
test('an object that is forgotten closes nothing', function () use ($path, $key) {
    $open = Bpos::kept($path);
    Bpos::kept($path)->list('yourstore');
    gc_collect_cycles();
    same(54, left($open, $key));
});

finish();
