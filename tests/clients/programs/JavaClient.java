import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpClient.Redirect;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;

/** Java's HttpClient reads no variables; the JVM takes system properties from JAVA_TOOL_OPTIONS. */
public class JavaClient {
    private static final HttpClient CLIENT = HttpClient.newBuilder().followRedirects(Redirect.NORMAL).build();

    public static void main(String[] arguments) throws Exception {
        var commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = commands.readLine()) != null; ) {
            try {
                obey(line.split(" "));
            } catch (Exception error) {
                tell(0, "", "", error.toString().getBytes(StandardCharsets.UTF_8));
            }
        }
    }

    private static void obey(String[] words) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(words[1]));
        switch (words[0]) {
            case "get" -> tell(send(request.build()));
            case "post" -> tell(send(request.POST(BodyPublishers.ofByteArray(digits(words[2]))).build()));
            case "stream" -> tell(send(request.POST(streamed(words[2])).build()));
            case "expect" -> tell(send(request.POST(streamed(words[2])).expectContinue(true).build()));
            case "pair" -> {
                var first = CLIENT.sendAsync(request.build(), BodyHandlers.ofByteArray());
                var second = CLIENT.sendAsync(request.build(), BodyHandlers.ofByteArray());
                tell(first.get());
                tell(second.get());
            }
            case "events" -> {
                CLIENT.send(request.build(), BodyHandlers.ofLines()).body().forEach(JavaClient::print);
                print("end");
            }
        }
    }

    private static HttpResponse<byte[]> send(HttpRequest request) throws Exception {
        return CLIENT.send(request, BodyHandlers.ofByteArray());
    }

    private static byte[] digits(String size) {
        return "0123456789".repeat(Integer.parseInt(size) / 10).getBytes(StandardCharsets.UTF_8);
    }

    /** A body whose length the client does not know, so that it is chunked. */
    private static BodyPublisher streamed(String size) {
        return BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(digits(size)));
    }

    private static void tell(HttpResponse<byte[]> response) throws Exception {
        var fields = response.headers();
        tell(response.statusCode(), fields.firstValue("via").orElse(""), fields.firstValue("proxy-status").orElse(""),
            response.body());
    }

    private static void tell(int status, String via, String error, byte[] body) throws Exception {
        print(status + "\t" + via + "\t" + error + "\t" + body.length);
        System.out.write(body);
        System.out.flush();
    }

    private static void print(String line) {
        System.out.print(line + "\n");
        System.out.flush();
    }
}
