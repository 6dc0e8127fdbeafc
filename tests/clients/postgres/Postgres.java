import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * JDBC, the driver of PostgreSQL for Java, with TLS and without. `postgres_program.py` runs it, and describes the
 * variables of the environment. The heap is smaller than the large answer.
 */
final class Postgres {
    private static final String COLUMNS = "host, v, n, u, note, up, time";
    private static final LocalDateTime TIME = LocalDateTime.parse("2024-01-02T03:04:05.678901");
    private static final List<Object> ROW = List.of(
            "a", 0.5, -1L, new BigDecimal("18446744073709551615"), "\u00e9 \"quoted\" \\ text", true, TIME);

    interface Work {
        void run(Connection connection) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        with(Postgres::queriesHaveValuesOfEveryType);
        with(Postgres::queriesLookForValuesInArrays);
        with(Postgres::writesHaveValuesOfEveryType);
        with(Postgres::aRollbackStoresNothing);
        with(Postgres::aLargeAnswerIsReadInParts);
        with(Postgres::aStatementIsCancelled);
        with(Postgres::errorsHaveCodes);
        with(Postgres::metadataDescribesTables);
        readersMayNotWrite();
        wrongPasswordsAndUnknownDatabasesAreRefused();
        tlsIsOptionalFromTheSameMachine();
    }

    private static String variable(String name) {
        return System.getenv("NEAP_POSTGRES_" + name);
    }

    private static Properties properties() {
        Properties properties = new Properties();
        properties.setProperty("user", "ann");
        properties.setProperty("password", variable("PASSWORD"));
        properties.setProperty("loginTimeout", "60");
        String certificate = System.getenv("NEAP_CA_FILE");
        if (certificate != null) {
            properties.setProperty("sslmode", "verify-full");
            properties.setProperty("sslrootcert", certificate);
        }
        return properties;
    }

    private static Connection connect(Properties properties, String database) throws SQLException {
        String url = "jdbc:postgresql://" + variable("HOST") + ":" + variable("PORT") + "/" + database;
        return DriverManager.getConnection(url, properties);
    }

    private static void with(Work work) throws Exception {
        try (Connection connection = connect(properties(), variable("DATABASE"))) {
            work.run(connection);
        }
    }

    private static void check(boolean condition, Object seen) {
        if (!condition) {
            throw new AssertionError(seen);
        }
    }

    private static void refuses(String state, CheckedRunnable statement) throws Exception {
        try {
            statement.run();
        } catch (SQLException error) {
            check(state.equals(error.getSQLState()), error.getSQLState() + " " + error.getMessage());
            return;
        }
        throw new AssertionError("not refused with " + state);
    }

    interface CheckedRunnable {
        void run() throws Exception;
    }

    private static void setRow(PreparedStatement statement, List<Object> row) throws SQLException {
        statement.setString(1, (String) row.get(0));
        statement.setDouble(2, (Double) row.get(1));
        statement.setLong(3, (Long) row.get(2));
        statement.setBigDecimal(4, (BigDecimal) row.get(3));
        statement.setString(5, (String) row.get(4));
        statement.setBoolean(6, (Boolean) row.get(5));
        statement.setObject(7, row.get(6));
    }

    private static List<Object> row(ResultSet rows) throws SQLException {
        return List.of(
                rows.getString(1), rows.getDouble(2), rows.getLong(3), rows.getBigDecimal(4), rows.getString(5),
                rows.getBoolean(6), rows.getObject(7, LocalDateTime.class));
    }

    private static List<Object> onlyRow(PreparedStatement statement) throws SQLException {
        try (ResultSet rows = statement.executeQuery()) {
            check(rows.next(), "no row");
            List<Object> row = row(rows);
            check(!rows.next(), "a second row");
            return row;
        }
    }

    /** The driver prepares a statement in the server, and uses the binary format, from its fifth execution on. */
    private static void queriesHaveValuesOfEveryType(Connection connection) throws Exception {
        String condition = COLUMNS.replace(",", " = ? AND") + " = ?";
        String query = "SELECT " + COLUMNS + " FROM every_type WHERE " + condition;
        try (PreparedStatement statement = connection.prepareStatement(query)) {
            for (int execution = 0; execution < 8; execution++) {
                setRow(statement, ROW);
                List<Object> row = onlyRow(statement);
                check(ROW.equals(row), execution + ": " + row);
            }
        }
    }

    private static void queriesLookForValuesInArrays(Connection connection) throws Exception {
        String query = "SELECT " + COLUMNS + " FROM every_type WHERE host = ANY(?) AND v = ANY(?) AND n = ANY(?)";
        try (PreparedStatement statement = connection.prepareStatement(query)) {
            for (int execution = 0; execution < 8; execution++) {
                statement.setArray(1, connection.createArrayOf("text", new Object[] {ROW.get(0), null}));
                statement.setArray(2, connection.createArrayOf("float8", new Object[] {ROW.get(1), 7.5}));
                statement.setArray(3, connection.createArrayOf("int8", new Object[] {ROW.get(2), 7L}));
                List<Object> row = onlyRow(statement);
                check(ROW.equals(row), execution + ": " + row);
            }
        }
    }

    private static void writesHaveValuesOfEveryType(Connection connection) throws Exception {
        String insert = "INSERT INTO every_type (" + COLUMNS + ") VALUES (?, ?, ?, ?, ?, ?, ?)";
        try (PreparedStatement statement = connection.prepareStatement(insert)) {
            for (int number = 0; number < 8; number++) {
                setRow(statement, List.of("java " + number, -1.25, Long.MIN_VALUE, new BigDecimal(7), "t\t", false, TIME));
                check(statement.executeUpdate() == 1, "one row is inserted");
            }
            statement.setString(1, "java null");
            statement.setDouble(2, 1.5);
            statement.setNull(3, Types.BIGINT);
            statement.setNull(4, Types.NUMERIC);
            statement.setNull(5, Types.VARCHAR);
            statement.setNull(6, Types.BOOLEAN);
            statement.setObject(7, TIME);
            statement.executeUpdate();
        }
        try (PreparedStatement batch = connection.prepareStatement(insert)) {
            for (int number = 0; number < 100; number++) {
                setRow(batch, List.of("java batch", 1.0 * number, 1L * number, new BigDecimal(number), "", true,
                        TIME.plusSeconds(number)));
                batch.addBatch();
            }
            check(batch.executeBatch().length == 100, "a batch has 100 results");
        }
        String counts = "SELECT count(*), count(n) FROM every_type WHERE host LIKE ?";
        try (PreparedStatement statement = connection.prepareStatement(counts)) {
            statement.setString(1, "java%");
            try (ResultSet rows = statement.executeQuery()) {
                rows.next();
                check(rows.getLong(1) == 109 && rows.getLong(2) == 108, rows.getLong(1) + " " + rows.getLong(2));
            }
        }
        String stored = "SELECT " + COLUMNS + " FROM every_type WHERE host = 'java 7'";
        try (PreparedStatement statement = connection.prepareStatement(stored)) {
            List<Object> expected = List.of("java 7", -1.25, Long.MIN_VALUE, new BigDecimal(7), "t\t", false, TIME);
            List<Object> row = onlyRow(statement);
            check(expected.equals(row), row);
        }
    }

    private static void aRollbackStoresNothing(Connection connection) throws Exception {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.executeUpdate("INSERT INTO cpu (time, host, usage) VALUES (now(), 'java rollback', 1)");
            connection.rollback();
            try (ResultSet rows = statement.executeQuery("SELECT count(*) FROM cpu WHERE host = 'java rollback'")) {
                rows.next();
                check(rows.getLong(1) == 0, "the rollback is without effect");
            }
            connection.commit();
        }
    }

    private static void aLargeAnswerIsReadInParts(Connection connection) throws Exception {
        // Only in a transaction, the driver reads an answer in parts.
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(1_000);
            long count = 0;
            try (ResultSet rows = statement.executeQuery(variable("LARGE"))) {
                while (rows.next()) {
                    count++;
                }
            }
            check(count == Long.parseLong(variable("LARGE_ROWS")), count);
        }
        connection.commit();
    }

    private static void aStatementIsCancelled(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            CompletableFuture<SQLException> failed = CompletableFuture.supplyAsync(() -> {
                try {
                    statement.executeQuery(variable("ENDLESS"));
                    return null;
                } catch (SQLException error) {
                    return error;
                }
            });
            with(Postgres::waitUntilRunning);
            statement.cancel();
            SQLException error = failed.get(60, TimeUnit.SECONDS);
            check(error != null && "57014".equals(error.getSQLState()), error);
            try (ResultSet rows = statement.executeQuery("SELECT 1")) {
                check(rows.next() && rows.getInt(1) == 1, "the connection goes on");
            }
            statement.setQueryTimeout(1);
            refuses("57014", () -> statement.executeQuery(variable("ENDLESS")));
        }
    }

    private static void waitUntilRunning(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            for (int attempt = 0; attempt < 1_200; attempt++) {
                try (ResultSet rows = statement.executeQuery(variable("RUNNING"))) {
                    rows.next();
                    if (rows.getLong(1) > 0) {
                        return;
                    }
                }
                Thread.sleep(50);
            }
        }
        throw new AssertionError("the query does not run");
    }

    private static void errorsHaveCodes(Connection connection) throws Exception {
        try (Statement statement = connection.createStatement()) {
            refuses("42P01", () -> statement.executeQuery("SELECT * FROM missing"));
            refuses("42601", () -> statement.executeQuery("SELECT 1 + , 2"));
            check(statement.executeQuery("SELECT 1").next(), "the connection goes on");
        }
    }

    private static void metadataDescribesTables(Connection connection) throws Exception {
        try (PreparedStatement statement = connection.prepareStatement("SELECT host, n, time FROM every_type WHERE n = ?")) {
            check(statement.getMetaData().getColumnTypeName(3).equals("timestamp"), statement.getMetaData());
            check(statement.getParameterMetaData().getParameterType(1) == Types.BIGINT, "the type of a placeholder");
        }
        List<String> tables = new ArrayList<>();
        try (ResultSet rows = connection.getMetaData().getTables(null, "iox", "%", new String[] {"TABLE"})) {
            while (rows.next()) {
                tables.add(rows.getString("TABLE_NAME"));
            }
        }
        check(tables.containsAll(List.of("cpu", "every_type")), tables);
        List<String> columns = new ArrayList<>();
        try (ResultSet rows = connection.getMetaData().getColumns(null, "iox", "every_type", "%")) {
            while (rows.next()) {
                columns.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
            }
        }
        check(columns.containsAll(List.of("host text", "v float8", "n int8", "u numeric", "up bool", "time timestamp")),
                columns);
    }

    private static void readersMayNotWrite() throws Exception {
        Properties properties = properties();
        properties.setProperty("password", variable("READER"));
        try (Connection connection = connect(properties, variable("DATABASE"));
                Statement statement = connection.createStatement()) {
            refuses("42501", () -> statement.executeUpdate("DELETE FROM cpu WHERE host = 'a'"));
        }
    }

    private static void wrongPasswordsAndUnknownDatabasesAreRefused() throws Exception {
        Properties wrong = properties();
        wrong.setProperty("password", "apiv3_wrong");
        refuses("28P01", () -> connect(wrong, variable("DATABASE")));
        refuses("3D000", () -> connect(properties(), "missing"));
    }

    private static void tlsIsOptionalFromTheSameMachine() throws Exception {
        Properties plain = properties();
        plain.setProperty("sslmode", "disable");
        plain.remove("sslrootcert");
        connect(plain, variable("DATABASE")).close();
    }
}
