<?php

declare(strict_types=1);

// examples/php/server.php as it is meant to run: FFI only for what php.ini preloads, and a registry that the process
// keeps. `php server.php LIBRARY SCOPE`, of which SCOPE is the header for ffi.preload.

require __DIR__ . '/suite.php';

[, $library, $scope] = $argv;
Bpos::load($library, HOME . '/include/bpos.ffi.h');

/** PHP's built-in server, which keeps its process from request to request as PHP-FPM does. */
final class Server
{
    private readonly string $address;
    /** @var resource */
    private $process;
    private array $pipes = [];

    public function __construct(string $program, string $scope, string $registry, ?string $store)
    {
        $class = HOME . '/examples/php/Bpos.php';
        $settings = ['ffi.enable' => 'preload', 'ffi.preload' => $scope, 'opcache.preload' => $class];
        $settings['display_errors'] = '1'; // with which PHP answers 200 to an exception
        if (posix_geteuid() === 0) {
            $settings['opcache.preload_user'] = 'root';
        }
        $command = [PHP_BINARY, '-S', '127.0.0.1:0'];
        foreach ($settings as $name => $value) {
            array_push($command, '-d', "$name=$value");
        }
        $environment = [...getenv(), 'BPOS_REGISTRY' => $registry, ...($store === null ? [] : ['STORE' => $store])];
        unset($environment['PHP_CLI_SERVER_WORKERS']);
        $this->process = proc_open([...$command, $program], [2 => ['pipe', 'w']], $this->pipes, env_vars: $environment);
        $log = '';
        while (!preg_match('~\(http://(\S+)\) started~', $log, $found)) {
            $line = fgets($this->pipes[2]);
            $log .= $line === false ? throw new LogicException("the server does not start: $log") : $line;
        }
        $this->address = $found[1];
    }

    public function __destruct()
    {
        if (is_resource($this->process)) {
            proc_terminate($this->process);
        }
    }

    /** What the server answers: [status, headers, body]. */
    public function ask(string $method, string $target, string ...$headers): array
    {
        $socket = stream_socket_client("tcp://$this->address");
        $request = ["$method $target HTTP/1.1", 'Host: a', 'Connection: close', ...$headers, '', ''];
        fwrite($socket, implode("\r\n", $request));
        [$head, $body] = explode("\r\n\r\n", stream_get_contents($socket), 2);
        $lines = explode("\r\n", $head);

        return [(int) explode(' ', array_shift($lines))[1], $lines, $body];
    }

    /** Ends it, and returns what it logged since it started. */
    public function end(): string
    {
        proc_terminate($this->process);
        $log = stream_get_contents($this->pipes[2]);
        proc_close($this->process);

        return $log;
    }
}

$path = folder() . '/keys.json';
file_put_contents($path, DOCUMENT);
chmod($path, 0600);
$owner = Bpos::open($path);
$new = $owner->create([...SPEC, 'rate_limit' => 3]);
$key = 'X-API-Key: ' . $new->key->expose();
$program = HOME . '/examples/php/server.php';

$server = new Server($program, $scope, $path, 'yourstore');
test('the process keeps its registry: the requests of a key are counted together', function () use ($server, $key) {
    foreach ([2, 1, 0] as $left) {
        [$status, $headers, $body] = $server->ask('GET', TARGET . '?q=%41', $key);
        same(200, $status);
        same(1, count(preg_grep("/^RateLimit: \"default\";r=$left;/", $headers)));
        same(TARGET . '?q=%41', json_decode($body)->target);
    }
    [$status, $headers, $body] = $server->ask('GET', TARGET, $key);
    same([429, 'rate_limited'], [$status, json_decode($body)->code]);
    same(1, count(preg_grep('/^Retry-After: \d+$/', $headers)));
});
test('a denial has the library\'s status, headers and body', function () use ($server) {
    [$status, $headers, $body] = $server->ask('GET', TARGET);
    same([401, 'missing_key'], [$status, json_decode($body)->code]);
    foreach (['WWW-Authenticate: ApiKey realm="bpos"', 'Content-Type: application/problem+json'] as $header) {
        same(true, in_array($header, $headers, true), $header);
    }
});
test('the answer to HEAD has no body', function () use ($server) {
    [$status, , $body] = $server->ask('HEAD', TARGET);
    same([401, ''], [$status, $body]);
});
test('several X-API-Key headers are no key', function () use ($server, $key) {
    $others = ['X-API-Key: a', 'x-api-key: a', $key];
    foreach (['X_API_Key', 'X_API-KEY', 'X-API.Key', 'x-api_key'] as $name) { // which are the same variable of CGI
        array_push($others, "$name: a", "$name: " . substr($key, 11));
    }
    foreach ($others as $other) {
        $twice[] = [$key, $other];
        $twice[] = [$other, $key];
    }
    foreach ($twice as $headers) {
        [$status, , $body] = $server->ask('GET', TARGET, ...$headers);
        same([401, 'invalid_key'], [$status, json_decode($body)->code]);
    }
});
test('a key in the URL is refused', function () use ($server, $key, $new) {
    same('key_in_url', json_decode($server->ask('GET', TARGET . '?k=' . $new->key->expose(), $key)[2])->code);
});
test('a key that another process revokes is denied at the next request', function () use ($server, $key, $owner, $new) {
    $owner->revoke($new->record['id']);
    same('revoked_key', json_decode($server->ask('GET', TARGET, $key)[2])->code);
});
test('a file that turned bad changes nothing', function () use ($server, $key, $path) {
    $good = file_get_contents($path);
    file_put_contents($path, '{');
    same('revoked_key', json_decode($server->ask('GET', TARGET, $key)[2])->code);
    file_put_contents($path, $good);
});
test('where it is not shared, the file is read again when it has changed', function () use ($program, $scope, $path) {
    $alone = dirname($path) . '/alone.php';
    $option = "'read_only' => true";
    file_put_contents($alone, str_replace($option, "$option, 'shared' => false", file_get_contents($program), $count));
    same(1, $count);
    $owner = Bpos::open($path);
    $new = $owner->create([...SPEC, 'rate_limit' => 2]);
    $key = 'X-API-Key: ' . $new->key->expose();
    $server = new Server($alone, $scope, $path, 'yourstore');
    same('allowed', $owner->authorize($new->key->expose(), 'yourstore', 'GET', TARGET)->reason);
    same([200, 200], [$server->ask('GET', TARGET, $key)[0], $server->ask('GET', TARGET, $key)[0]]); // it counts apart
    $owner->revoke($new->record['id']);
    same('revoked_key', json_decode($server->ask('GET', TARGET, $key)[2])->code);
    $good = file_get_contents($path);
    file_put_contents($path, '{');
    same('revoked_key', json_decode($server->ask('GET', TARGET, $key)[2])->code);
    file_put_contents($path, $good);
    same(true, str_contains($server->end(), 'not reloaded'));
});
test('the log has reasons and ids, and no key', function () use ($server, $new) {
    $log = $server->end();
    $lines = ['200 allowed key_', '429 rate_limited key_', '401 malformed_key', '401 key_in_url'];
    foreach ($lines as $line) {
        same(true, str_contains($log, $line), "$line:");
    }
    same(false, str_contains($log, $new->key->expose()));
});

test('no variable of the shop holds the key', function () use ($program, $scope, $path, $owner) {
    $shop = dirname($path) . '/shop.php';
    file_put_contents($shop, "<?php require '$program'; echo print_r([\$_SERVER, get_defined_vars()], true);");
    $key = $owner->create(SPEC)->key->expose();
    $server = new Server($shop, $scope, $path, 'yourstore');
    [$status, , $body] = $server->ask('GET', TARGET, "X-API-Key: $key");
    same([200, true], [$status, str_contains($body, '[REQUEST_URI] => ' . TARGET)]);
    same(false, str_contains($body, $key));
    $server->end();
});
test('a server that is told of no store lets nobody in', function () use ($program, $scope, $path, $owner) {
    $server = new Server($program, $scope, $path, null);
    same(401, $server->ask('GET', TARGET, 'X-API-Key: ' . $owner->create(SPEC)->key->expose())[0]);
    same(true, str_contains($server->end(), 'wrong_store'));
});
test('a registry that cannot be opened is 500, and not PHP\'s 200', function () use ($program, $scope) {
    $server = new Server($program, $scope, '/nowhere/keys.json', 'yourstore');
    same(500, $server->ask('GET', TARGET, 'X-API-Key: bpos_0123456789abcdef')[0]);
    $server->end();
});
test('the application cannot use FFI itself', function () use ($scope, $path) {
    $program = dirname($path) . '/intruder.php';
    $intrusion = 'try { FFI::scope("bpos"); echo "in"; } catch (FFI\Exception $error) { echo $error->getMessage(); }';
    file_put_contents($program, "<?php $intrusion");
    $server = new Server($program, $scope, $path, 'yourstore');
    same('FFI API is restricted by "ffi.enable" configuration directive', $server->ask('GET', '/')[2]);
    $server->end();
});

finish();
