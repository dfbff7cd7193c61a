// The job of the comparison in Kafka Streams, tuned as its users would. Arguments are name=value.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import net.jpountz.xxhash.XXHash64;
import net.jpountz.xxhash.XXHashFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

public final class Job {
    private static final String STORE = "latest";
    private static final String CHAT = "4711";

    private Job() {}

    public static void main(String[] arguments) {
        Map<String, String> given = new HashMap<>();
        for (String argument : arguments) {
            String[] pair = argument.split("=", 2);
            given.put(pair[0], pair[1]);
        }
        KafkaStreams streams = new KafkaStreams(topology(given), properties(given));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        streams.setStateListener((now, before) -> say("state " + now));
        streams.setGlobalStateRestoreListener(new Restores());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
    }

    private static void say(String what) {
        System.out.println(System.currentTimeMillis() + " " + what);
    }

    private static Topology topology(Map<String, String> given) {
        StoreBuilder<KeyValueStore<String, Observations.Latest>> store =
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.String(), new Observations.LatestSerde())
                .withCachingEnabled()
                .withLoggingEnabled(Map.of());
        int video = Integer.parseInt(given.get("video_schema"));
        int change = Integer.parseInt(given.get("change_schema"));
        int message = Integer.parseInt(given.get("message_schema"));
        return new Topology()
            .addSource("videos", new StringDeserializer(), new Observations.ObservationDeserializer(video), given.get("input"))
            .addProcessor("changes", Changes::new, "videos")
            .addStateStore(store, "changes")
            .addSink("to-changes", given.get("changes"), new StringSerializer(), new Observations.ChangeSerializer(change), "changes")
            .addProcessor("comments", Comments::new, "changes")
            .addSink("to-outbox", given.get("outbox"), new StringSerializer(), new Observations.MessageSerializer(message), "comments");
    }

    private static Properties properties(Map<String, String> given) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, given.get("id"));
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("servers"));
        properties.put(StreamsConfig.STATE_DIR_CONFIG, given.get("state"));
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, given.get("threads"));
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "100");
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, String.valueOf(64 << 20));
        properties.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, "5000");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), "5000");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), String.valueOf(4 << 20));
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.RECEIVE_BUFFER_CONFIG), String.valueOf(1 << 20));
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), "20");
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), String.valueOf(256 << 10));
        properties.put(StreamsConfig.producerPrefix(ProducerConfig.SEND_BUFFER_CONFIG), String.valueOf(1 << 20));
        return properties;
    }

    /** Remembers the last two observations of each video, and forwards what changed. */
    private static final class Changes implements Processor<String, Observations.Observation, String, Observations.Change> {
        private ProcessorContext<String, Observations.Change> context;
        private KeyValueStore<String, Observations.Latest> store;

        @Override
        public void init(ProcessorContext<String, Observations.Change> context) {
            this.context = context;
            store = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<String, Observations.Observation> record) {
            String video = record.key();
            Observations.Latest latest = store.get(video);
            if (latest == null) {
                store.put(video, new Observations.Latest(null, 0, record.value(), record.timestamp()));
                return;
            }
            Observations.Observation before = latest.current();
            Observations.Observation now = Observations.over(before, record.value());
            store.put(video, new Observations.Latest(before, latest.currentAt(), now, record.timestamp()));
            List<String> changed = Observations.changed(before, now);
            if (!changed.isEmpty()) {
                var change = new Observations.Change(video, before, now, changed, latest.currentAt(), record.timestamp());
                context.forward(record.withValue(change));
            }
        }
    }

    /** A message where the number of comments changed. */
    private static final class Comments implements Processor<String, Observations.Change, String, Observations.Message> {
        private final XXHash64 hash = XXHashFactory.fastestInstance().hash64();
        private ProcessorContext<String, Observations.Message> context;

        @Override
        public void init(ProcessorContext<String, Observations.Message> context) {
            this.context = context;
        }

        @Override
        public void process(Record<String, Observations.Change> record) {
            Observations.Observation previous = record.value().previous();
            Observations.Observation current = record.value().current();
            if (!Observations.differs(previous.comments(), current.comments())) {
                return;
            }
            String text = "Comments changed: " + previous.comments() + " => " + current.comments() + ". " + current.title();
            context.forward(record.withKey(CHAT).withValue(new Observations.Message(CHAT, text, event(record.timestamp(), text))));
        }

        /** 32 hexadecimal digits that name the event for ever. */
        private String event(long timestamp, String text) {
            RecordMetadata source = context.recordMetadata().orElseThrow();
            String named = source.topic() + '/' + source.partition() + '/' + source.offset() + '/' + timestamp + '/' + text + "/comments";
            byte[] bytes = named.getBytes(StandardCharsets.UTF_8);
            String high = Long.toHexString(hash.hash(bytes, 0, bytes.length, 0));
            String low = Long.toHexString(hash.hash(bytes, 0, bytes.length, 1));
            return "0".repeat(16 - high.length()) + high + "0".repeat(16 - low.length()) + low;
        }
    }

    /** Says when restores began and ended, and how much they read. */
    private static final class Restores implements StateRestoreListener {
        @Override
        public void onRestoreStart(TopicPartition partition, String store, long from, long to) {
            say("restore began " + partition);
        }

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long end, long count) {}

        @Override
        public void onRestoreEnd(TopicPartition partition, String store, long total) {
            say("restore ended " + partition + " " + total);
        }
    }
}
