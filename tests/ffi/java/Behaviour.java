// What the class of Decide.java does from one request to the next: `java Behaviour FOLDER`. BPOS_COMMAND is `bpos`, and FOLDER
// a place for its registry.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public final class Behaviour {
    private static Path path;
    private static int passed;

    public static void main(String[] args) throws IOException, InterruptedException {
        path = Path.of(args[0], "java.json");
        bpos("init", path.toString());
        String created = bpos("key", "create", "--name", "A", "--store", "yourstore", "--scope", "products:read", "--json");
        String key = found("bpos_\\w+", created), id = found("key_\\w+", created);
        Decide keys = new Decide(System.getenv("BPOS_LIBRARY"), path.toString());

        expect(keys, "200 allowed", key, "yourstore");
        expect(keys, "401 wrong_store", key, null); // a store that was not found
        expect(keys, "401 wrong_store", key, "");
        expect(keys, "401 wrong_store", key, "yourstore\0");
        expect(keys, "401 malformed_key", key + "\0", "yourstore");
        expect(keys, "401 missing_key", null, "yourstore");
        expect(keys, "r=58;", key, "yourstore"); // one registry counts on
        String document = Files.readString(path);
        Files.writeString(path, "{");
        expect(keys, "200 allowed", key, "yourstore"); // a bad file changes nothing
        Files.writeString(path, document);
        bpos("key", "revoke", id);
        expect(keys, "401 revoked_key", key, "yourstore"); // another process revoked it
        System.out.println(passed + " passed, 0 failed");
    }

    private static void expect(Decide keys, String expected, String key, String store) {
        String answer = keys.answer(keys.authorize(key, store, "GET", "/api/v1/products"));
        if (!answer.contains(expected)) {
            throw new AssertionError("expected " + expected + ", found " + answer);
        }
        passed += 1;
    }

    private static String bpos(String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(System.getenv("BPOS_COMMAND")));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().put("BPOS_REGISTRY", path.toString());
        Process process = builder.start();
        String said = new String(process.getInputStream().readAllBytes());
        if (process.waitFor() != 0) {
            throw new AssertionError(said);
        }
        return said;
    }

    private static String found(String pattern, String text) {
        Matcher matcher = Pattern.compile(pattern).matcher(text);
        if (!matcher.find()) {
            throw new AssertionError(text);
        }
        return matcher.group();
    }
}
