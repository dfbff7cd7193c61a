// What goes in and what comes out, in Confluent's wire format with Avro bodies. The bodies are read and written field by field with Avro's own
// decoder and encoder, as the classes that Avro generates do it: quicker than generic records. Kafka Streams shares serializers among its
// threads, so what is used again and again is each thread's own.

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

final class Observations {
    /** The watched fields of youtube_video; null is unknown. */
    record Observation(String title, Long views, Long likes, Long comments) {}

    /** What is kept of a video: the last known values and the ones before, with their times; nothing was before where {@code previous} is null. */
    record Latest(Observation previous, long previousAt, Observation current, long currentAt) {}

    /** A youtube_change. */
    record Change(String video, Observation previous, Observation current, List<String> changed, Long previousAt, long currentAt) {}

    /** A telegram_message. */
    record Message(String chat, String text, String event) {}

    private static final int PREFIX = 5;

    private Observations() {}

    static final class ObservationDeserializer implements Deserializer<Observation> {
        private final ThreadLocal<Reader> readers = ThreadLocal.withInitial(Reader::new);
        private final int schema;

        ObservationDeserializer(int schema) {
            this.schema = schema;
        }

        @Override
        public Observation deserialize(String topic, byte[] data) {
            if (data == null) {
                return null;
            }
            if (data.length < PREFIX || data[0] != 0 || ByteBuffer.wrap(data, 1, 4).getInt() != schema) {
                throw new SerializationException("not written with schema " + schema);
            }
            try {
                // What else there is follows, and is not looked at.
                return readers.get().of(data, PREFIX).observation();
            } catch (IOException e) {
                throw new SerializationException(e);
            }
        }
    }

    static final class ChangeSerializer implements Serializer<Change> {
        private final ThreadLocal<Writer> writers;

        ChangeSerializer(int schema) {
            writers = ThreadLocal.withInitial(() -> new Writer(schema));
        }

        @Override
        public byte[] serialize(String topic, Change change) {
            return writers.get().write(encoder -> {
                Observation previous = change.previous();
                Observation current = change.current();
                encoder.writeString(change.video());
                Writer.text(encoder, current.title());
                Writer.text(encoder, previous == null ? null : previous.title());
                Writer.text(encoder, current.title());
                Writer.number(encoder, previous == null ? null : previous.views());
                Writer.number(encoder, current.views());
                Writer.number(encoder, previous == null ? null : previous.likes());
                Writer.number(encoder, current.likes());
                Writer.number(encoder, previous == null ? null : previous.comments());
                Writer.number(encoder, current.comments());
                encoder.writeArrayStart();
                encoder.setItemCount(change.changed().size());
                for (String name : change.changed()) {
                    encoder.startItem();
                    encoder.writeString(name);
                }
                encoder.writeArrayEnd();
                Writer.number(encoder, change.previousAt());
                encoder.writeLong(change.currentAt());
                encoder.writeBoolean(false);
                encoder.writeIndex(0);
            });
        }
    }

    static final class MessageSerializer implements Serializer<Message> {
        private final ThreadLocal<Writer> writers;

        MessageSerializer(int schema) {
            writers = ThreadLocal.withInitial(() -> new Writer(schema));
        }

        @Override
        public byte[] serialize(String topic, Message message) {
            return writers.get().write(encoder -> {
                encoder.writeString(message.chat());
                encoder.writeString(message.text());
                encoder.writeString("");
                encoder.writeInt(0);
                encoder.writeBoolean(false);
                encoder.writeBoolean(false);
                encoder.writeString(message.event());
                encoder.writeString("");
            });
        }
    }

    /** The state, as Avro writes a record of two observations and two times. */
    static final class LatestSerde implements Serde<Latest> {
        @Override
        public Serializer<Latest> serializer() {
            ThreadLocal<Writer> writers = ThreadLocal.withInitial(() -> new Writer(null));
            return (topic, latest) -> latest == null ? null : writers.get().write(encoder -> {
                Writer.observation(encoder, latest.current());
                encoder.writeLong(latest.currentAt());
                encoder.writeBoolean(latest.previous() != null);
                if (latest.previous() != null) {
                    Writer.observation(encoder, latest.previous());
                    encoder.writeLong(latest.previousAt());
                }
            });
        }

        @Override
        public Deserializer<Latest> deserializer() {
            ThreadLocal<Reader> readers = ThreadLocal.withInitial(Reader::new);
            return (topic, data) -> {
                if (data == null) {
                    return null;
                }
                try {
                    Reader reader = readers.get().of(data, 0);
                    Observation current = reader.observation();
                    long currentAt = reader.decoder.readLong();
                    boolean more = reader.decoder.readBoolean();
                    Observation previous = more ? reader.observation() : null;
                    return new Latest(previous, more ? reader.decoder.readLong() : 0, current, currentAt);
                } catch (IOException e) {
                    throw new SerializationException(e);
                }
            };
        }
    }

    /** The names of the fields that are known, were known, and are another now. */
    static List<String> changed(Observation before, Observation now) {
        List<String> names = new ArrayList<>(4);
        if (differs(before.title(), now.title())) {
            names.add("title");
        }
        if (differs(before.views(), now.views())) {
            names.add("views");
        }
        if (differs(before.likes(), now.likes())) {
            names.add("likes");
        }
        if (differs(before.comments(), now.comments())) {
            names.add("comments");
        }
        return names;
    }

    static boolean differs(Object before, Object now) {
        return before != null && now != null && !before.equals(now);
    }

    /** The observation with what it is silent about as it was before. */
    static Observation over(Observation before, Observation now) {
        if (now.title() != null && now.views() != null && now.likes() != null && now.comments() != null) {
            return now;
        }
        return new Observation(
            now.title() == null ? before.title() : now.title(),
            now.views() == null ? before.views() : now.views(),
            now.likes() == null ? before.likes() : now.likes(),
            now.comments() == null ? before.comments() : now.comments());
    }

    /** Reads bodies; its decoder is used again and again. */
    private static final class Reader {
        private BinaryDecoder decoder;
        private Utf8 text = new Utf8();

        Reader of(byte[] data, int from) {
            decoder = DecoderFactory.get().binaryDecoder(data, from, data.length - from, decoder);
            return this;
        }

        Observation observation() throws IOException {
            return new Observation(text(), number(), number(), number());
        }

        private String text() throws IOException {
            if (decoder.readIndex() == 0) {
                return null;
            }
            text = decoder.readString(text);
            return text.toString();
        }

        private Long number() throws IOException {
            return decoder.readIndex() == 0 ? null : (Long) decoder.readLong();
        }
    }

    private interface Body {
        void write(BinaryEncoder encoder) throws IOException;
    }

    /** Writes bodies, with the prefix of a schema where there is one; encoder and buffer are used again and again. */
    private static final class Writer {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(512);
        private final byte[] prefix;
        private BinaryEncoder encoder;

        Writer(Integer schema) {
            prefix = schema == null ? new byte[0] : ByteBuffer.allocate(PREFIX).put((byte) 0).putInt(schema).array();
        }

        byte[] write(Body body) {
            try {
                bytes.reset();
                bytes.write(prefix);
                encoder = EncoderFactory.get().binaryEncoder(bytes, encoder);
                body.write(encoder);
                encoder.flush();
                return bytes.toByteArray();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        static void observation(BinaryEncoder encoder, Observation observation) throws IOException {
            text(encoder, observation.title());
            number(encoder, observation.views());
            number(encoder, observation.likes());
            number(encoder, observation.comments());
        }

        static void text(BinaryEncoder encoder, String text) throws IOException {
            encoder.writeIndex(text == null ? 0 : 1);
            if (text != null) {
                encoder.writeString(text);
            }
        }

        static void number(BinaryEncoder encoder, Long number) throws IOException {
            encoder.writeIndex(number == null ? 0 : 1);
            if (number != null) {
                encoder.writeLong(number);
            }
        }
    }
}
