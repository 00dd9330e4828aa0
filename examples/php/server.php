<?php

declare(strict_types=1);

// A shop's API behind bpos, for PHP's built-in server, or PHP-FPM behind a web server that sends every request here.
// docs/other-languages.md says how php.ini loads Bpos.php and the library.
//
//     BPOS_REGISTRY=keys.json STORE=yourstore php -S 127.0.0.1:8080 server.php

http_response_code(500); // until bpos says otherwise: PHP's own answer to a program that fails can be 200

$bpos = Bpos::kept(getenv('BPOS_REGISTRY') ?: 'keys.json', ['read_only' => true]);
$method = $_SERVER['REQUEST_METHOD'];
$target = $_SERVER['REQUEST_URI']; // as it was received: path and query, not decoded
// X-API-Key, X_API_Key and X-API.Key are one variable, and the last wins. Several are no key, and "," is malformed.
$several = count(preg_grep('/^x[^a-z0-9]api[^a-z0-9]key$/i', array_keys(getallheaders()))) > 1;
$key = $_SERVER['HTTP_X_API_KEY'] ?? null;
// An nginx before 1.23 hands on the last of several, and tells of the first what docs/other-languages.md has it tell.
$several = $several || ($_SERVER['FIRST_API_KEY'] ?? $key ?? '') !== ($key ?? '');
$decision = $bpos->authorize($several ? ',' : $key, getenv('STORE') ?: null, $method, $target);
// The shop needs no key. PHP has no way to take it from getallheaders() and filter_input() too, so log neither.
unset($key, $_SERVER['HTTP_X_API_KEY'], $_SERVER['FIRST_API_KEY']);

$line = Bpos::redact("$method $target $decision->status $decision->reason $decision->keyId");
error_log(preg_replace('/[[:cntrl:]]/', '?', $line));
http_response_code($decision->status);
header('Cache-Control: no-store'); // a shared cache does not know X-API-Key
foreach ($decision->headers() as $header) {
    header($header);
}
if (!$decision->allowed()) {
    echo $decision->body(); // which PHP leaves out where HEAD was asked

    return;
}

// The shop: whose request it is, it learns from the decision.
header('Content-Type: application/json');
echo json_encode(['store' => $decision->store, 'target' => $target], JSON_UNESCAPED_SLASHES), "\n";
