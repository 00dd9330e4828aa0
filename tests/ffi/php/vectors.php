<?php

declare(strict_types=1);

// The vectors of tests/vectors, through the public API of examples/php: `php vectors.php LIBRARY`.

require __DIR__ . '/suite.php';

Bpos::load($argv[1], HOME . '/include/bpos.ffi.h');
$cases = $calls = 0;
$codes = []; // of each reason, as the bodies have it

foreach (glob(HOME . '/tests/vectors/*.json') as $path) {
    $file = json_decode(file_get_contents($path), flags: JSON_THROW_ON_ERROR);
    $document = json_encode($file->registry, JSON_UNESCAPED_UNICODE);
    $options = isset($file->policy) ? ['policy' => $file->policy] : [];
    foreach ($file->cases as $case) {
        test(basename($path) . ": {$case->name}", function () use ($case, $document, $options, &$cases, &$calls, &$codes) {
            $bpos = Bpos::fromJson($document, $options);
            foreach ($case->calls as $number => $call) {
                $codes += call($bpos, $call, "call $number:");
                $calls += $call->times ?? 1;
            }
            $cases++;
        });
    }
}
test('the cases have every reason but internal', function () use (&$codes) {
    same(13, count($codes), implode(' ', array_keys($codes)));
});
echo "$cases cases, $calls calls\n";
finish();

/** Returns the code of the reason. */
function call(Bpos $bpos, stdClass $call, string $where): array
{
    $key = isset($call->key_hex) ? hex2bin($call->key_hex) : $call->key;
    $store = $call->store ?? Bpos::ANY_STORE;
    $at = [$call->unix_ms, $call->monotonic_us];
    $expect = $call->expect;
    for ($time = 0; $time < ($call->times ?? 1); $time++) {
        $decision = isset($call->scope)
            ? $bpos->authorizeScope($key, $store, $call->scope, $at)
            : $bpos->authorize($key, $store, $call->method, $call->target, $at);
        same([$expect->status, $expect->reason], [$decision->status, $decision->reason], $where);
    }
    same($expect->status === 200, $decision->allowed(), $where);
    $named = $expect->required_scope !== '';
    same($named, $decision->requiredScope > 0, $where);
    same($named ? $bpos->scopeId($expect->required_scope) : 0, $decision->requiredScope, $where);
    same([$expect->limit, $expect->remaining], [$decision->limit, $decision->remaining], $where);
    same([$expect->retry_after_s, $expect->reset_s], [$decision->retryAfterS, $decision->resetS], $where);
    same([$expect->test_mode, $expect->key_id], [$decision->testMode, $decision->keyId], $where);
    same($expect->store, $decision->store, $where);
    same($expect->headers, $decision->headers(), $where);
    same($expect->body === null ? null : (array) $expect->body, json_decode($decision->body(), true), $where);
    same(true, count((array) $expect) === 12, "$where a member of `expect` that nobody compares,");
    same($expect->body->code ?? 'allowed', $decision->code(), $where);

    return [$expect->reason => $decision->code()];
}
