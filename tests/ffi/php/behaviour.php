<?php

declare(strict_types=1);

// What examples/php/Bpos.php does with good and bad input: `php behaviour.php LIBRARY NEWER OLDER`, of which NEWER has
// another ABI and OLDER lacks functions.

require __DIR__ . '/suite.php';

[, $library, $newer, $older] = $argv;
$header = HOME . '/include/bpos.ffi.h';

function registry(): Bpos
{
    return Bpos::fromJson(DOCUMENT);
}

function ask(Bpos $bpos, ?string $key, string|BposStore|null $store = 'yourstore', ?array $at = null): BposDecision
{
    return $bpos->authorize($key, $store, 'GET', TARGET, $at);
}

function reason(BposDecision $decision): array
{
    return [$decision->status, $decision->reason];
}

// ---- The library ----

test('nothing works before the library is loaded, and says so', function () {
    fails('library', 'call Bpos::load() first', fn () => Bpos::fromJson(DOCUMENT));
});
test('a missing library is named', function () use ($header) {
    fails('library', '/nowhere/libbpos.so.0', fn () => Bpos::load('/nowhere/libbpos.so.0', $header));
});
test('another library is named, and what it lacks', function () use ($header) {
    fails('library', 'libm.so.6', fn () => Bpos::load('libm.so.6', $header));
    fails('library', 'bpos_abi_version', fn () => Bpos::load('libm.so.6', $header));
});
test('a file that is no library is named', function () use ($header) {
    fails('library', 'bpos.ffi.h', fn () => Bpos::load($header, $header));
});
test('a newer ABI is told, with both numbers', function () use ($newer, $header) {
    fails('library', 'has the ABI 7, and Bpos.php needs 0', fn () => Bpos::load($newer, $header));
});
test('an older library is told by the function that it lacks', function () use ($older, $header) {
    fails('library', 'bpos_version', fn () => Bpos::load($older, $header));
});
test('a missing header is named', function () use ($library) {
    fails('library', '/nowhere/bpos.ffi.h', fn () => Bpos::load($library, '/nowhere/bpos.ffi.h'));
});

Bpos::load($library, $header);

test('the library is loaded once, so that nothing in use is unloaded', function () use ($library, $header) {
    fails('library', 'already', fn () => Bpos::load($library, $header));
});

// ---- To decide ----

test('a store that was not found matches no key, and only ANY_STORE leaves the check out', function () {
    $bpos = registry();
    $key = $bpos->create(SPEC)->key->expose();
    same('wrong_store', ask($bpos, $key, null)->reason);
    same('wrong_store', ask($bpos, $key, '')->reason);
    same('wrong_store', ask($bpos, $key, substr('x', 1))->reason); // an empty text of its own, not the literal
    same('wrong_store', ask($bpos, $key, "yourstore\0")->reason);
    same('allowed', ask($bpos, $key, 'yourstore')->reason);
    same('allowed', ask($bpos, $key, Bpos::ANY_STORE)->reason);
});
test('no key and an empty one are missing; NUL, blank and other bytes are malformed', function () {
    $bpos = registry();
    $key = $bpos->create(SPEC)->key->expose();
    same('missing_key', ask($bpos, null)->reason);
    same('missing_key', ask($bpos, '')->reason);
    $within = substr_replace($key, "\0", 20, 0);
    foreach (["$key\0", "\0$key", $within, " $key", "$key\n", "$key\xff", "$key, $key"] as $bad) {
        same('malformed_key', ask($bpos, $bad)->reason, bin2hex($bad));
    }
    same('allowed', ask($bpos, $key)->reason);
});
test('a NUL in the target or the method goes to the library whole', function () {
    $bpos = registry();
    $key = $bpos->create(SPEC)->key->expose();
    same('unmapped_route', $bpos->authorize($key, 'yourstore', 'GET', TARGET . "\0")->reason);
    same('unmapped_route', $bpos->authorize($key, 'yourstore', "GET\0", TARGET)->reason);
    same('key_in_url', $bpos->authorize($key, 'yourstore', 'GET', TARGET . "?\0$key")->reason);
});
test('time is an argument: the limit is exact, and no test sleeps', function () {
    $bpos = registry();
    $key = $bpos->create([...SPEC, 'rate_limit' => 1])->key->expose();
    $at = fn (int $us) => ask($bpos, $key, 'yourstore', [1_795_521_600_000, $us]);
    same(61, $at(5_000_000)->resetS);
    $refused = $at(65_000_000);
    same(['rate_limited', 1], [$refused->reason, $refused->retryAfterS]);
    same(true, $at(65_000_001)->allowed());
});
test('a scope is named by its name or its number', function () {
    $bpos = registry();
    $key = $bpos->create(SPEC)->key->expose();
    same('allowed', $bpos->authorizeScope($key, 'yourstore', 'products:read')->reason);
    same('allowed', $bpos->authorizeScope($key, 'yourstore', $bpos->scopeId('products:read'))->reason);
    same('insufficient_scope', $bpos->authorizeScope($key, 'yourstore', 'products:write')->reason);
    same(500, $bpos->authorizeScope($key, 'yourstore', 'products:reed')->status);
    same(0, $bpos->scopeId("products:read\0"));
    foreach ([0, 99, -1, 2 ** 32 + 1, 1 - 2 ** 32, PHP_INT_MIN] as $none) {
        same([500, 'internal'], reason($bpos->authorizeScope($key, 'yourstore', $none)), "scope $none");
    }
});
test('times that are no integers are misuse, answered with 500', function () {
    $bpos = registry();
    $key = $bpos->create(SPEC)->key->expose();
    $counts = [[], [0], [0, 0, 0], [0, 0, null]];
    $kinds = [[1.9, 2], [1, NAN], ['1', '2'], [null, null], [0, -1], ['a' => 1, 'b' => null]];
    foreach ([...$counts, ...$kinds] as $at) {
        same([500, 'internal'], reason(ask($bpos, $key, at: $at)), print_r($at, true));
        same([500, 'internal'], reason($bpos->authorizeScope($key, 'yourstore', 'products:read', $at)));
    }
    same([200, 'allowed'], reason(ask($bpos, $key, at: [-1, 0])));
});
test('options are the library\'s: a policy of the host, and the right to change nothing', function () {
    $route = ['method' => 'GET', 'path' => '/a', 'scope' => 'a:read'];
    $policy = ['scopes' => [['name' => 'a:read']], 'routes' => [$route]];
    same(12, Bpos::fromJson(DOCUMENT, ['policy' => $policy])->scopeId('a:read'));
    fails('read_only', '', fn () => Bpos::fromJson(DOCUMENT, ['read_only' => true])->create(SPEC));
    fails('format', '"polcy"', fn () => Bpos::fromJson(DOCUMENT, ['polcy' => $policy]));
});
test('a policy that was not found is an error, and not the built-in policy', function () {
    $policy = json_decode((string) @file_get_contents('/nowhere/policy.json'), true);
    fails('format', 'the options', fn () => Bpos::fromJson(DOCUMENT, ['policy' => $policy]));
});

// ---- Keys ----

test('a key is created, changed, rotated and revoked', function () {
    $bpos = registry();
    $new = $bpos->create(SPEC);
    $id = $new->record['id'];
    $first = $new->key->expose();
    same(300, $bpos->update($id, ['rate_limit' => 300])['rate_limit']);
    $bpos->disable($id);
    same('disabled_key', ask($bpos, $first)->reason);
    $bpos->enable($id);
    same('allowed', ask($bpos, $first)->reason);
    $second = $bpos->rotate($id, 3600)->key->expose();
    same(['allowed', 'allowed'], [ask($bpos, $first)->reason, ask($bpos, $second)->reason]);
    $third = $bpos->rotate($id, 0)->key->expose();
    same(['unknown_key', 'allowed'], [ask($bpos, $second)->reason, ask($bpos, $third)->reason]);
    $bpos->revoke($id);
    same('revoked_key', ask($bpos, $third)->reason);
    same(true, $bpos->get($id)['revoked_at'] !== null);
    $counts = array_map(fn ($store) => count($bpos->list($store)), ['yourstore', '', 'other', Bpos::ANY_STORE]);
    same([1, 0, 0, 1], $counts);
});
test('many keys are listed in pages', function () {
    $bpos = registry();
    $create = fn ($name) => $bpos->create([...SPEC, 'name' => $name, 'store' => $name === '3' ? 'other' : 'yourstore']);
    $ids = array_map(fn ($name) => $create($name)->record['id'], ['1', '2', '3', '4', '5']);
    $names = fn (...$page) => implode(array_column($bpos->list(...$page), 'name'));
    same(['12', '34', '5', ''], [
        $names(Bpos::ANY_STORE, limit: 2), $names(Bpos::ANY_STORE, $ids[1], 2),
        $names(Bpos::ANY_STORE, $ids[3], 2), $names(Bpos::ANY_STORE, $ids[4], 2),
    ]);
    same(['1245', '45', '4', ''], [
        $names('yourstore'), $names('yourstore', after: $ids[2]), $names('yourstore', $ids[1], 1),
        $names('yourstore', limit: 0),
    ]);
    fails('not_found', 'no key has the id "key_none"', fn () => $bpos->list('yourstore', 'key_none', 2));
    fails('not_found', 'no key has the id ""', fn () => $bpos->list('yourstore', ''));
    fails('invalid_argument', 'the limit is -1', fn () => $bpos->list('yourstore', limit: -1));
});
test('several changes are made together, each with its answer', function () {
    $bpos = registry();
    $id = $bpos->create(SPEC)->record['id'];
    same([], $bpos->edit([]));
    [$made, $changed, $rotated, $disabled] = $bpos->edit([
        ['create' => [...SPEC, 'name' => 'Another']],
        ['update' => ['id' => $id, 'patch' => ['rate_limit' => 7]]],
        ['rotate' => ['id' => $id, 'grace_s' => 0]],
        ['disable' => $id],
    ]);
    same(['Another', 'allowed'], [$made->record['name'], ask($bpos, $made->key->expose())->reason]);
    same([7, null], [$changed['rate_limit'], $disabled]);
    same([$id, 'disabled_key'], [$rotated->record['id'], ask($bpos, $rotated->key->expose())->reason]);
});
test('of changes of which one is refused none is made', function () {
    $bpos = registry();
    $new = $bpos->create(SPEC);
    $changes = [['revoke' => $new->record['id']], ['enable' => 'key_none']];
    fails('not_found', 'change 2: no key has the id "key_none"', fn () => $bpos->edit($changes));
    same('allowed', ask($bpos, $new->key->expose())->reason);
    foreach ([['revoke' => $new->record['id']], [[]], [['erase' => 'key_none']]] as $none) {
        fails('format', '', fn () => $bpos->edit($none));
    }
});
test('a name may be in any script', function () {
    $name = "Café ☕ Ω \u{1d11e}";
    same($name, registry()->create([...SPEC, 'name' => $name])->record['name']);
});
test('an error has the number, the name and the words of the library', function () {
    fails('not_found', 'no key has the id "key_none"', fn () => registry()->revoke('key_none'));
    fails('format', 'missing member `name`', fn () => registry()->create([]));
    fails('invalid_argument', '', fn () => registry()->reload());
    try {
        registry()->revoke('key_none');
    } catch (BposException $error) {
        same(4, $error->getCode());
    }
});
test('a secret is in no dump, no text and no serialization', function () {
    $new = registry()->create(SPEC);
    $secret = $new->key->expose();
    ob_start();
    var_dump($new, [$new->key], (array) $new->key, get_mangled_object_vars($new->key));
    print_r($new);
    var_export([$new, (array) $new->key]);
    debug_zval_dump($new);
    echo $new->key, json_encode($new), $new->record['hint'];
    $shown = ob_get_clean();
    same(false, str_contains($shown, $secret));
    same(true, str_contains($shown, substr($secret, 0, 9) . '****'));
    $failing = [fn () => serialize($new), fn () => clone $new->key, fn () => registry()->rotate('key_none', 1)];
    foreach ($failing as $refused) {
        $thrown = null;
        try {
            $refused();
        } catch (Throwable $thrown) {
            same(false, str_contains((string) $thrown, $secret));
        }
        same(true, $thrown !== null, 'nothing was thrown:');
    }
});
test('what the log shows of a key is its beginning', function () {
    same("a bpos_abcd************ b\0\xff", Bpos::redact("a bpos_abcd0123456789AB b\0\xff"));
    same('', Bpos::redact(''));
});

// ---- Files ----

test('registries of one file count together, and a change by one is in force in all', function () {
    $path = folder() . '/keys.json';
    [$writer, $reader] = [Bpos::init($path), Bpos::open($path, ['read_only' => true])];
    $new = $writer->create([...SPEC, 'rate_limit' => 2]);
    $key = $new->key->expose();
    foreach (['allowed', 'allowed', 'rate_limited'] as $i => $reason) {
        same($reason, ask([$reader, $writer][$i % 2], $key)->reason);
    }
    $writer->revoke($new->record['id']);
    same('revoked_key', ask($reader, $key)->reason);
    file_put_contents($path, '{"version": 1');
    fails('format', 'the registry document', fn () => $reader->reload());
    same('revoked_key', ask($reader, $key)->reason);
});
test('what cannot be shared is an error that names the option', function () {
    $path = folder() . '/keys.json';
    fails('io', '"shared": false', fn () => Bpos::init($path, ['shared' => ['dir' => '/nowhere']]));
    same([], Bpos::open($path, ['shared' => false])->list(Bpos::ANY_STORE));
    fails('format', 'shared', fn () => Bpos::open($path, ['shared' => 1]));
});
test('registries share in the folder that is named', function () {
    [$path, $dir] = [folder() . '/keys.json', folder()];
    $options = ['shared' => ['dir' => $dir]];
    [$one, $other] = [Bpos::init($path, $options), Bpos::open($path, $options)];
    same(1, count(glob("$dir/bpos-*")));
    $key = $one->create([...SPEC, 'rate_limit' => 1])->key->expose();
    same(['allowed', 'rate_limited'], [ask($other, $key)->reason, ask($one, $key)->reason]);
    $one->close();
    $other->close();
});
test('a registry file that is not shared is seen changing on reload, and counts apart', function () {
    $path = folder() . '/keys.json';
    file_put_contents($path, DOCUMENT);
    chmod($path, 0600);
    $alone = ['shared' => false];
    [$writer, $reader] = [Bpos::open($path, $alone), Bpos::open($path, ['read_only' => true, ...$alone])];
    $new = $writer->create(SPEC);
    $key = $new->key->expose();
    same('unknown_key', ask($reader, $key)->reason);
    same([true, false], [$reader->reloadIfChanged(), $reader->reloadIfChanged()]);
    same('allowed', ask($reader, $key)->reason);
    same([58, 59], [ask($reader, $key)->remaining, ask($writer, $key)->remaining]);
    $writer->revoke($new->record['id']);
    $reader->reload();
    same('revoked_key', ask($reader, $key)->reason);
    file_put_contents($path, '{"version": 1');
    fails('format', 'the registry document', fn () => $reader->reload());
    same('revoked_key', ask($reader, $key)->reason);
});
test('a registry file is made, for its owner alone, and never in the place of another', function () {
    $path = folder() . '/keys.json';
    $new = Bpos::init($path)->create(SPEC);
    same(0600, fileperms($path) & 0777);
    same('allowed', ask(Bpos::open($path), $new->key->expose())->reason);
    fails('conflict', '', fn () => Bpos::init($path));
    same('allowed', ask(Bpos::open($path), $new->key->expose())->reason);
});
test('a path may have any bytes but NUL', function () {
    $path = folder() . "/keys \xff\xfe.json";
    file_put_contents($path, DOCUMENT);
    chmod($path, 0600);
    same([], Bpos::open($path)->list(Bpos::ANY_STORE));
    fails('io', 'NUL', fn () => Bpos::open("$path\0"));
    fails('io', '', fn () => Bpos::open(''));
    fails('io', 'No such file', fn () => Bpos::open("/nowhere/\xff"));
});
test('a document of a newer version is refused', function () {
    fails('format', 'expected version 1; found 2', fn () => Bpos::fromJson('{"version": 2, "keys": []}'));
});
test('an error has the place in the document', function () {
    $document = '{"version": 1, "keys": [
  {"id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": [],
   "rate_limit": 7000, "sha256": "0f11d542d395e36e30e861e8ffea08db283a96dc08036a2c4eac4289a4a2fc53"}]}';
    $place = function (callable $call): array {
        try {
            $call();
        } catch (BposException $error) {
            return [$error->documentLine, $error->documentColumn, $error->inFile];
        }
        throw new LogicException('nothing was thrown');
    };
    same([3, 21, false], $place(fn () => Bpos::fromJson($document)));
    same([null, null, false], $place(fn () => registry()->revoke('key_none')));
});

// ---- Lives ----

test('after close all is denied with 500, cold calls say so, and closing again does nothing', function () {
    $bpos = registry();
    $key = $bpos->create(SPEC)->key->expose();
    $before = ask($bpos, $key);
    $bpos->close();
    $bpos->close();
    $after = ask($bpos, $key);
    same([500, 'internal', false], [$after->status, $after->reason, $after->allowed()]);
    same(['internal', 'internal'], [$after->code(), json_decode($after->body())->code]);
    same(500, $bpos->authorizeScope($key, 'yourstore', 'products:read')->status);
    same(0, $bpos->scopeId('products:read'));
    $cold = [
        fn () => $bpos->create(SPEC), fn () => $bpos->get('key_1'), fn () => $bpos->list('yourstore'),
        fn () => $bpos->enable('key_1'), fn () => $bpos->disable('key_1'), fn () => $bpos->edit([]),
        fn () => $bpos->revoke('key_1'), fn () => $bpos->reload(), fn () => $bpos->reloadIfChanged(),
    ];
    foreach ($cold as $call) {
        fails('invalid_argument', 'the registry is closed', $call);
    }
    same([200, 2], [$before->status, count($before->headers())]); // a decision outlives its registry
});
test('a registry is not cloned, since its twin would be closed too', function () {
    try {
        clone registry();
    } catch (Error) {
        return;
    }
    same(true, false, 'nothing was thrown:');
});
test('the collector may run at any time', function () {
    $answers = [];
    for ($round = 0; $round < 200; $round++) {
        $holder = new stdClass();
        $holder->self = $holder; // which only the collector frees
        $holder->bpos = registry();
        $holder->key = $holder->bpos->create(SPEC)->key;
        $holder->decision = ask($holder->bpos, $holder->key->expose());
        $answers[] = $holder->decision;
        unset($holder);
        same(true, gc_collect_cycles() > 0);
    }
    foreach ($answers as $decision) {
        same(['RateLimit-Policy: "default";q=60;w=60', 'RateLimit: "default";r=59;t=61'], $decision->headers());
    }
});
test('a process that forks decides on, apart from its parent', function () {
    $bpos = registry();
    $key = $bpos->create([...SPEC, 'rate_limit' => 2])->key->expose();
    same(1, ask($bpos, $key)->remaining);
    $pid = pcntl_fork();
    if ($pid === 0) {
        $left = ask($bpos, $key)->remaining;
        posix_kill(posix_getpid(), $left === 0 ? SIGUSR1 : SIGUSR2); // ends it without PHP's shutdown
    }
    pcntl_waitpid($pid, $status);
    same(SIGUSR1, pcntl_wtermsig($status));
    same(0, ask($bpos, $key)->remaining);
});

finish();
