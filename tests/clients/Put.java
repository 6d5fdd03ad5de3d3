// Puts records through the AWS SDK for Java 2, and says which were taken, in order.
//
// Reads and writes the same as put.py. Records one by one go through the client that waits, by HTTP/1.1; many go
// through the other one, by HTTP/2 and prior knowledge. Both write CBOR, as they do by default; the content type is said
// as `kind`.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.core.client.config.ClientOverrideConfiguration;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.http.apache.ApacheHttpClient;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClientBuilder;
import software.amazon.awssdk.services.kinesis.KinesisBaseClientBuilder;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.PutRecordsRequestEntry;
import software.amazon.awssdk.services.kinesis.model.PutRecordsResultEntry;

public class Put {
    static volatile String kind;

    /** Sees what goes out. */
    public static class Witness implements ExecutionInterceptor {
        @Override
        public void beforeTransmission(Context.BeforeTransmission sent, ExecutionAttributes attributes) {
            kind = sent.httpRequest().firstMatchingHeader("Content-Type").orElse("");
        }
    }

    static <B extends KinesisBaseClientBuilder<B, ?>> B settled(B builder, JsonNode asked) {
        var attempts = asked.get("attempts").asInt();
        var override = ClientOverrideConfiguration.builder()
            .retryStrategy(strategy -> strategy.maxAttempts(attempts))
            .addExecutionInterceptor(new Witness())
            .build();
        var credentials = AwsBasicCredentials.create(asked.get("key").asText(), asked.get("secret").asText());
        return builder.endpointOverride(URI.create(asked.get("endpoint").asText()))
            .region(Region.EU_WEST_1)
            .credentialsProvider(StaticCredentialsProvider.create(credentials))
            .overrideConfiguration(override);
    }

    static PutRecordsRequestEntry entry(JsonNode record) throws Exception {
        var entry = PutRecordsRequestEntry.builder().data(SdkBytes.fromByteArray(record.get(0).binaryValue()));
        if (!record.get(1).isNull()) {
            entry.partitionKey(record.get(1).asText());
        }
        if (!record.get(2).isNull()) {
            entry.explicitHashKey(record.get(2).asText());
        }
        return entry.build();
    }

    static void oneByOne(JsonNode asked, List<PutRecordsRequestEntry> entries, ArrayNode told) {
        var builder = settled(KinesisClient.builder(), asked).httpClientBuilder(ApacheHttpClient.builder());
        try (KinesisClient client = builder.build()) {
            for (var entry : entries) {
                var answer = client.putRecord(put -> put.streamName(asked.get("stream").asText())
                    .data(entry.data()).partitionKey(entry.partitionKey()).explicitHashKey(entry.explicitHashKey()));
                told.add(answer.sequenceNumber());
            }
        }
    }

    static void many(JsonNode asked, List<PutRecordsRequestEntry> entries, ArrayNode told, ArrayNode calls) {
        KinesisAsyncClientBuilder builder = settled(KinesisAsyncClient.builder(), asked);
        builder.httpClientBuilder(NettyNioAsyncHttpClient.builder());
        try (KinesisAsyncClient client = builder.build()) {
            List<PutRecordsRequestEntry> left = entries;
            while (!left.isEmpty()) {
                var batch = left.subList(0, Math.min(500, left.size()));
                var rest = left.subList(batch.size(), left.size());
                var answer = client.putRecords(put -> put.streamName(asked.get("stream").asText()).records(batch)).join();
                var results = answer.records();
                int taken = 0;
                while (taken < results.size() && results.get(taken).sequenceNumber() != null) {
                    told.add(results.get(taken++).sequenceNumber());
                }
                check(results.size() == batch.size(), "one result each");
                for (PutRecordsResultEntry result : results.subList(taken, results.size())) {
                    check(result.sequenceNumber() == null, "nothing overtakes what is held back");
                }
                check(answer.failedRecordCount() == batch.size() - taken, "those that failed are counted");
                calls.addArray().add(taken).add(batch.size() - taken);
                left = new ArrayList<>(batch.subList(taken, batch.size()));
                left.addAll(rest);
            }
        }
    }

    static void check(boolean isSo, String what) {
        if (!isSo) {
            throw new IllegalStateException(what);
        }
    }

    public static void main(String[] arguments) throws Exception {
        var mapper = new ObjectMapper();
        JsonNode asked = mapper.readTree(System.in);
        List<PutRecordsRequestEntry> entries = new ArrayList<>();
        for (var record : asked.get("records")) {
            entries.add(entry(record));
        }
        ObjectNode said = mapper.createObjectNode();
        var told = said.putArray("told");
        var calls = said.putArray("calls");
        if (asked.get("form").asText().equals("one")) {
            oneByOne(asked, entries, told);
        } else {
            many(asked, entries, told, calls);
        }
        said.put("kind", kind);
        System.out.println(mapper.writeValueAsString(said));
    }
}
