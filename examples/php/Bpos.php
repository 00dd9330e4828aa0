<?php

declare(strict_types=1);

/**
 * bpos for PHP 8.1 or later, over FFI: the keys of a platform, ready to decide.
 *
 *     Bpos::load('libbpos.so.0', '/usr/local/include/bpos.ffi.h');
 *     $bpos = Bpos::open('keys.json');
 *     $decision = $bpos->authorize($_SERVER['HTTP_X_API_KEY'] ?? null, 'yourstore', 'GET', '/api/v1/products');
 *     if ($decision->status !== 200) { … }
 *
 * Cold calls throw a BposException. To authorize never does: what cannot be decided is denied, with 500.
 */
final class Bpos
{
    /** The store of a request whose store is not to be checked. A store that was not found, null, matches no key. */
    public const ANY_STORE = BposStore::Any;

    /** The BPOS_ABI_VERSION that this file was written for. */
    private const ABI_VERSION = 0;

    private static ?FFI $ffi = null;

    /** @param $kept whether the process keeps the registry, so that it outlives this object */
    private function __construct(private ?FFI\CData $registry, private readonly bool $kept = false)
    {
    }

    public function __destruct()
    {
        $this->close();
    }

    private function __clone()
    {
    }

    /**
     * Loads the library, with the declarations of the header that was installed with it. Once, before all else; not
     * where php.ini's ffi.preload has them, as it should in production.
     */
    public static function load(string $library, string $header): void
    {
        if (self::$ffi !== null) { // what it would unload, somebody may still use
            throw new BposException('libbpos is loaded already', -1, 'library');
        }
        $declarations = @file_get_contents($header);
        if ($declarations === false) {
            throw new BposException("there is no readable bpos.ffi.h at $header", -1, 'library');
        }
        // The version is asked for first: the functions of another ABI may be others.
        self::checkAbi(self::declare('uint32_t bpos_abi_version(void);', $library), $library);
        self::$ffi = self::declare($declarations, $library);
    }

    /**
     * Opens a registry file. Options are {"policy": …, "read_only": true, "shared": false} as an array, all optional. A
     * policy that is there and null, since its file was not found for instance, is an error, and not the built-in policy.
     *
     * All processes that open a file count together, and a change by one is in force in all. ['shared' => false] counts
     * here alone, and sees changes by others on reload(); ['shared' => ['dir' => '/a/folder/in/memory']] shares there.
     */
    public static function open(string $path, array $options = []): self
    {
        return new self(self::opened('bpos_registry_open', $path, $options));
    }

    /** Makes a registry file without keys, which must not exist yet, and opens it. Options are those of open(). */
    public static function init(string $path, array $options = []): self
    {
        return new self(self::opened('bpos_registry_init', $path, $options));
    }

    /** Makes a memory registry from a document. */
    public static function fromJson(string $document, array $options = []): self
    {
        return new self(self::opened('bpos_registry_from_json', $document, $options));
    }

    /**
     * The registry that this process keeps, opened by the first request that asks. For servers that forget a request's
     * variables, such as PHP-FPM. It needs keep.c, by ffi.preload. If it is not shared, its file is read again when it has
     * changed.
     *
     * One process keeps one registry: to ask for another path or other options throws, since another site in the same
     * pool would otherwise get this one's keys and policy.
     */
    public static function kept(string $path, array $options = []): self
    {
        $ffi = self::ffi();
        $absolute = str_starts_with($path, '/') ? $path : getcwd() . "/$path";
        $as = hash('sha256', "$absolute\0" . self::json($options));
        if (FFI::isNull($ffi->bpos_kept)) {
            $ffi->bpos_kept = self::opened('bpos_registry_open', $path, $options);
            FFI::memcpy($ffi->bpos_kept_as, $as, strlen($as));

            return new self($ffi->bpos_kept, kept: true);
        }
        if ($as !== FFI::string($ffi->bpos_kept_as)) {
            $hint = 'one process keeps one registry, so give this site a pool of its own, or restart after a change';
            $what = "this process keeps another registry than $absolute with these options";
            throw new BposException("$what: $hint", 1, 'invalid_argument');
        }
        $bpos = new self($ffi->bpos_kept, kept: true);
        if (($options['shared'] ?? true) === false) {
            try {
                $bpos->reloadIfChanged();
            } catch (BposException $error) {
                error_log("bpos: not reloaded, the old keys stay in force: {$error->getMessage()}");
            }
        }

        return $bpos;
    }

    /**
     * Decides on a request by its method and target, now, or at [unix_ms, monotonic_us], two integers, in a test.
     *
     * @param $apiKey the value of the X-API-Key header; null if there is none
     * @param $store that the request is for; null and '' match no key
     * @param $target path and query as they were received, not decoded
     */
    public function authorize(
        #[SensitiveParameter] ?string $apiKey,
        string|BposStore|null $store,
        string $method,
        string $target,
        ?array $at = null,
    ): BposDecision {
        $operation = [$method, strlen($method), $target, strlen($target)];

        return $this->decide('bpos_authorize', $apiKey, $store, $operation, $at);
    }

    /** Decides on a request whose scope the host names. A key in the URL is the host's to refuse. */
    public function authorizeScope(
        #[SensitiveParameter] ?string $apiKey,
        string|BposStore|null $store,
        string|int $scope,
        ?array $at = null,
    ): BposDecision {
        $id = is_string($scope) ? $this->scopeId($scope) : $scope;
        $known = $id >= 0 && $id <= 0xffffffff; // FFI would cut what is longer than C's number, to another scope's

        return $this->decide('bpos_authorize_scope', $apiKey, $store, [$known ? $id : 0], $at);
    }

    /** The number of a scope, or 0 if there is no such one. */
    public function scopeId(string $name): int
    {
        return self::ffi()->bpos_scope_id($this->registry, $name, strlen($name));
    }

    /** Creates a key: ['name' => 'Website Sync', 'store' => 'yourstore', 'scopes' => ['products:read']]. */
    public function create(array $spec): BposNewKey
    {
        $json = self::json($spec);

        return BposNewKey::from($this->answer('bpos_key_create', $json, strlen($json)));
    }

    /** Gives a key another secret. The one before works for so many seconds more. */
    public function rotate(string $id, int $graceS): BposNewKey
    {
        return BposNewKey::from($this->answer('bpos_key_rotate', $id, strlen($id), $graceS));
    }

    /** Changes parts of a key: ['rate_limit' => 300]. Returns its record. */
    public function update(string $id, array $patch): array
    {
        $json = self::json($patch);

        return $this->answer('bpos_key_update', $id, strlen($id), $json, strlen($json));
    }

    /** Takes a key out of use until enable(). */
    public function disable(string $id): void
    {
        $this->call('bpos_key_disable', $id, strlen($id));
    }

    /** Puts a disabled key back into use. */
    public function enable(string $id): void
    {
        $this->call('bpos_key_enable', $id, strlen($id));
    }

    /**
     * Makes several changes together, all or none: [['revoke' => $id], ['create' => $spec], ['rotate' => ['id' => $id,
     * 'grace_s' => 60]]], and likewise update (id, patch), disable, enable and remove.
     *
     * Returns an answer for each: a BposNewKey for create and rotate, the record for update, null for the others.
     */
    public function edit(array $changes): array
    {
        $json = self::encoded($changes);
        $new = fn (#[SensitiveParameter] ?array $answer) => isset($answer['key']) ? BposNewKey::from($answer) : $answer;

        return array_map($new, $this->answer('bpos_registry_edit', $json, strlen($json)));
    }

    /** Revokes a key, permanently. */
    public function revoke(string $id): void
    {
        $this->call('bpos_key_revoke', $id, strlen($id));
    }

    /** A key's record, without its secret. */
    public function get(string $id): array
    {
        return $this->answer('bpos_key_get', $id, strlen($id));
    }

    /**
     * The records of a store's keys; of all for ANY_STORE. Many keys are read in pages: at most so many, behind the key
     * with the id $after. Behind the last key the page is empty.
     */
    public function list(string|BposStore $store, ?string $after = null, int $limit = PHP_INT_MAX): array
    {
        if ($limit < 0) {
            throw new BposException("the limit is $limit; expected 0 or more", 1, 'invalid_argument');
        }
        [$text, $length] = self::storeText($store);

        return $this->answer('bpos_key_list_page', $text, $length, $after, strlen($after ?? ''), $limit);
    }

    /**
     * Reads the registry file again, where it is not shared, or for an edit by hand to be in force here. A bad or older one
     * throws, and the old keys stay in force.
     */
    public function reload(): void
    {
        $this->call('bpos_registry_reload');
    }

    /** The same, if the file has changed. Returns whether it had. */
    public function reloadIfChanged(): bool
    {
        $changed = self::ffi()->new('uint8_t');
        $this->call('bpos_registry_reload_if_changed', FFI::addr($changed));

        return $changed->cdata === 1;
    }

    /** Frees the registry, unless the process keeps it: then only this object lets go of it. Again does nothing. */
    public function close(): void
    {
        if ($this->registry !== null && !$this->kept) {
            self::ffi()->bpos_registry_close($this->registry);
        }
        $this->registry = null;
    }

    /** Masks every API key in a text, for logs. */
    public static function redact(string $text): string
    {
        $length = strlen($text);
        if ($length === 0) {
            return '';
        }
        $copy = self::ffi()->new("char[$length]");
        FFI::memcpy($copy, $text, $length);
        self::ffi()->bpos_redact($copy, $length);

        return FFI::string($copy, $length);
    }

    // ---- The library ----

    private static function ffi(): FFI
    {
        if (self::$ffi === null) {
            try {
                $ffi = FFI::scope('bpos');
            } catch (FFI\Exception $error) {
                $hint = 'call Bpos::load() first, or name bpos.scope.h in ffi.preload';
                throw new BposException("libbpos is not loaded: {$error->getMessage()}; $hint", -1, 'library');
            }
            self::checkAbi($ffi, 'of ffi.preload');
            self::$ffi = $ffi;
        }

        return self::$ffi;
    }

    private static function declare(string $declarations, string $library): FFI
    {
        try {
            return FFI::cdef($declarations, $library);
        } catch (FFI\Exception $error) {
            $hint = 'give the path of libbpos.so.0, and the bpos.ffi.h that was installed with it';
            throw new BposException("cannot load $library: {$error->getMessage()}; $hint", -1, 'library');
        }
    }

    private static function checkAbi(FFI $ffi, string $library): void
    {
        $found = $ffi->bpos_abi_version();
        if ($found !== self::ABI_VERSION) {
            $ours = self::ABI_VERSION;
            throw new BposException("the library $library has the ABI $found, and Bpos.php needs $ours", -1, 'library');
        }
    }

    /** A C struct that knows its size, which the library asks for. */
    private static function sized(string $type): FFI\CData
    {
        $struct = self::ffi()->new($type);
        $struct->size = FFI::sizeof($struct);

        return $struct;
    }

    private static function opened(string $function, string $source, array $options): FFI\CData
    {
        $json = $options === [] ? null : self::json($options);
        $registry = self::ffi()->new('bpos_registry *');
        self::run($function, $source, strlen($source), $json, strlen($json ?? ''), FFI::addr($registry));

        return $registry;
    }

    private function decide(
        string $function,
        #[SensitiveParameter] ?string $apiKey,
        string|BposStore|null $store,
        array $operation,
        ?array $at,
    ): BposDecision {
        $decision = self::sized('bpos_decision');
        $registry = $this->registry; // null once it is closed, which is misuse: the answer is 500
        if ($at !== null) {
            $function .= '_at';
            $times = array_values(array_filter($at, is_int(...)));
            if (count($at) !== 2 || count($times) !== 2) {
                [$registry, $times] = [null, [0, 0]]; // misuse, too
            }
            array_push($operation, ...$times);
        }
        [$text, $length] = self::storeText($store);
        self::ffi()->$function(
            $registry, $apiKey, strlen($apiKey ?? ''), $text, $length, ...[...$operation, FFI::addr($decision)],
        );

        return new BposDecision(self::ffi(), $decision);
    }

    /** A store as C takes it: NULL leaves the check out, so nothing but ANY_STORE may become NULL. */
    private static function storeText(string|BposStore|null $store): array
    {
        return $store === BposStore::Any ? [null, 0] : [$store ?? '', strlen($store ?? '')];
    }

    private function call(string $function, mixed ...$arguments): void
    {
        if ($this->registry === null) {
            throw new BposException('the registry is closed', 1, 'invalid_argument');
        }
        self::run($function, $this->registry, ...$arguments);
    }

    /** Calls a function that answers with JSON, which is wiped and freed once it is read. */
    private function answer(string $function, mixed ...$arguments): array
    {
        $buffer = self::ffi()->new('bpos_buffer');
        $this->call($function, ...[...$arguments, FFI::addr($buffer)]);
        try {
            return json_decode(FFI::string($buffer->data, $buffer->len), true, flags: JSON_THROW_ON_ERROR);
        } finally {
            self::ffi()->bpos_buffer_free(FFI::addr($buffer));
        }
    }

    /** Calls a cold function, whose last argument is where it puts its error. */
    private static function run(string $function, mixed ...$arguments): void
    {
        $error = self::sized('bpos_error');
        $status = self::ffi()->$function(...[...$arguments, FFI::addr($error)]);
        if ($status !== 0) {
            throw new BposException(
                FFI::string($error->message),
                $status,
                self::ffi()->bpos_status_name($status),
                $error->line ?: null,
                $error->column ?: null,
                $error->in_file !== 0,
            );
        }
    }

    private static function json(array $object): string
    {
        return self::encoded((object) $object);
    }

    private static function encoded(array|object $value): string
    {
        return json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE);
    }
}

/** What stands for a store where none is named. */
enum BposStore
{
    case Any;
}

/** The answer to one request. 200 is the only yes. It stays valid without its registry. */
final class BposDecision
{
    /** 200, 401, 403 or 429; 500 if bpos could not decide. */
    public readonly int $status;
    /** Exactly why, for the host: "rate_limited". A client is told what body() says. */
    public readonly string $reason;
    /** The number of the scope that the operation needs, or 0. */
    public readonly int $requiredScope;
    public readonly int $limit;
    public readonly int $remaining;
    public readonly int $retryAfterS;
    public readonly int $resetS;
    public readonly bool $testMode;
    /** Of the key, once the client proved that it holds the secret; otherwise ''. */
    public readonly string $keyId;
    public readonly string $store;

    /** @internal */
    public function __construct(private readonly FFI $ffi, private readonly FFI\CData $decision)
    {
        $this->status = $decision->status;
        $this->reason = $ffi->bpos_reason_name($decision->reason);
        $this->requiredScope = $decision->required_scope;
        $this->limit = $decision->limit;
        $this->remaining = $decision->remaining;
        $this->retryAfterS = $decision->retry_after_s;
        $this->resetS = $decision->reset_s;
        $this->testMode = $decision->test_mode !== 0;
        $this->keyId = FFI::string($decision->key_id);
        $this->store = FFI::string($decision->store);
    }

    public function allowed(): bool
    {
        return $this->status === 200;
    }

    /** What a client may be told of the reason, for a body of your own: the `code` of body(); "allowed" on 200. */
    public function code(): string
    {
        return $this->ffi->bpos_reason_code($this->decision->reason);
    }

    /** The headers for the answer, each as "Name: value", the way header() takes them. */
    public function headers(): array
    {
        return preg_split('/\r\n/', $this->text('bpos_decision_headers'), flags: PREG_SPLIT_NO_EMPTY);
    }

    /** The body for the answer: a problem in JSON, or '' when the request is allowed. */
    public function body(): string
    {
        return $this->text('bpos_decision_body');
    }

    private function text(string $function): string
    {
        $decision = FFI::addr($this->decision);
        $capacity = $this->ffi->$function($decision, null, 0) + 1;
        $text = $this->ffi->new("char[$capacity]");
        $this->ffi->$function($decision, $text, $capacity);

        return FFI::string($text);
    }
}

/** A key that was just made: its secret, which nobody can get again, and its record. */
final class BposNewKey
{
    private function __construct(public readonly BposSecret $key, public readonly array $record)
    {
    }

    /** @internal */
    public static function from(#[SensitiveParameter] array $answer): self
    {
        return new self(new BposSecret($answer['key']), $answer['record']);
    }
}

/** A secret that shows itself when asked to, and not in logs and dumps. PHP cannot wipe it: let go of it soon. */
final class BposSecret
{
    /** The texts, by their objects: var_export() and an array cast would show a property. */
    private static ?WeakMap $secrets = null;

    public function __construct(#[SensitiveParameter] string $secret)
    {
        self::$secrets ??= new WeakMap();
        self::$secrets[$this] = $secret;
    }

    private function __clone()
    {
    }

    public function expose(): string
    {
        return self::$secrets[$this];
    }

    public function __toString(): string
    {
        return Bpos::redact($this->expose());
    }

    public function __debugInfo(): array
    {
        return ['secret' => (string) $this];
    }

    public function __serialize(): array
    {
        throw new LogicException('a secret is not to be serialized: store the registry, which has its digest');
    }
}

/** What went wrong: getCode() is the bpos_status, or -1 where the library itself is the trouble. */
final class BposException extends RuntimeException
{
    /**
     * @param $status the name of the code: "io", "not_durable"
     * @param $documentLine the line of the document that is wrong, from 1; null if the error has no such place
     * @param $documentColumn the column in that line, from 1, in bytes; null likewise
     * @param $inFile on "not_durable": the file has the change, but may lose it if the machine stops now
     */
    public function __construct(
        string $message,
        int $code,
        public readonly string $status,
        public readonly ?int $documentLine = null,
        public readonly ?int $documentColumn = null,
        public readonly bool $inFile = false,
    ) {
        parent::__construct($message, $code);
    }
}
