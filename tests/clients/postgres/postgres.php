<?php
/**
 * PDO and the functions `pg_*`, the drivers of PostgreSQL for PHP, with TLS and without. `postgres_program.py` runs it,
 * and describes the variables of the environment.
 */

declare(strict_types=1);

const COLUMNS = ['host', 'v', 'n', 'u', 'note', 'up', 'time'];
const ROW = ['a', 0.5, -1, '18446744073709551615', 'é "quoted" \\ text', true, '2024-01-02 03:04:05.678901'];
const KINDS = [
    PDO::PARAM_STR, PDO::PARAM_STR, PDO::PARAM_INT, PDO::PARAM_STR, PDO::PARAM_STR, PDO::PARAM_BOOL, PDO::PARAM_STR,
];

function variable(string $name): string
{
    return getenv("NEAP_POSTGRES_$name");
}

/** Returns the address and the options of a connection, in the form of libpq. */
function address(?string $database = null): string
{
    $certificate = getenv('NEAP_CA_FILE');
    $tls = $certificate ? "sslmode=verify-full sslrootcert=$certificate" : '';
    $database ??= variable('DATABASE');
    return sprintf('host=%s port=%s dbname=%s connect_timeout=60 %s', variable('HOST'), variable('PORT'), $database, $tls);
}

function connect(?string $password = null, ?string $database = null): PDO
{
    $options = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION];
    $source = 'pgsql:' . str_replace(' ', ';', trim(address($database)));
    return new PDO($source, 'ann', $password ?? variable('PASSWORD'), $options);
}

function check(bool $condition, mixed $seen): void
{
    if (!$condition) {
        throw new RuntimeException(var_export($seen, true));
    }
}

/** Checks that a function fails with a code. */
function refuses(string $state, callable $work): void
{
    try {
        $work();
    } catch (PDOException $error) {
        check($error->getCode() === $state, $error->getCode() . ' ' . $error->getMessage());
        return;
    }
    throw new RuntimeException("not refused with $state");
}

function bind(PDOStatement $statement, array $row): PDOStatement
{
    foreach ($row as $index => $value) {
        $statement->bindValue($index + 1, $value, $value === null ? PDO::PARAM_NULL : KINDS[$index]);
    }
    return $statement;
}

function queries_have_values_of_every_type(): void
{
    $condition = implode(' AND ', array_map(fn ($name) => "$name = ?", COLUMNS));
    $query = 'SELECT ' . implode(', ', COLUMNS) . " FROM every_type WHERE $condition";
    foreach ([false, true] as $emulate) {
        $connection = connect();
        // With emulation, PDO writes the values into the text of the statement.
        $connection->setAttribute(PDO::ATTR_EMULATE_PREPARES, $emulate);
        $statement = $connection->prepare($query);
        for ($execution = 0; $execution < 2; $execution++) {
            bind($statement, ROW)->execute();
            $rows = $statement->fetchAll(PDO::FETCH_NUM);
            // Numbers that fit are converted by PDO.
            $rows[0][1] = (float) $rows[0][1];
            check($rows === [ROW], $rows);
        }
    }
}

function writes_have_values_of_every_type(): void
{
    $connection = connect();
    $placeholders = implode(', ', array_map(fn ($name) => ":$name", COLUMNS));
    $insert = 'INSERT INTO every_type (' . implode(', ', COLUMNS) . ") VALUES ($placeholders)";
    $rows = [
        ['php 1', '-1.25', 1, '7', "tab\t", false, ROW[6]],
        ['php 2', '1e300', PHP_INT_MAX, '0', '', true, ROW[6]],
        ['php 3', '2.5', null, null, null, null, ROW[6]],
    ];
    $connection->beginTransaction();
    $statement = $connection->prepare($insert);
    foreach ($rows as $row) {
        foreach (COLUMNS as $index => $name) {
            $kind = $row[$index] === null ? PDO::PARAM_NULL : KINDS[$index];
            $statement->bindValue($name, $row[$index], $kind);
        }
        $statement->execute();
        check($statement->rowCount() === 1, $statement->rowCount());
    }
    $connection->commit();
    $query = 'SELECT ' . implode(', ', COLUMNS) . " FROM every_type WHERE host LIKE 'php %' ORDER BY host";
    $stored = $connection->query($query)->fetchAll(PDO::FETCH_NUM);
    foreach ($rows as $index => $row) {
        $stored[$index][1] = (float) $stored[$index][1];
        $row[1] = (float) $row[1];
        check($stored[$index] === $row, $stored[$index]);
    }

    $connection->beginTransaction();
    $connection->exec("INSERT INTO cpu (time, host, usage) VALUES (now(), 'php rollback', 1)");
    $connection->rollBack();
    $count = $connection->query("SELECT count(*) FROM cpu WHERE host = 'php rollback'")->fetchColumn();
    check($count === 0, $count);
}

function a_large_answer_is_read_in_parts(): void
{
    ini_set('memory_limit', '64M');
    $connection = connect();
    $connection->beginTransaction();
    $connection->exec('DECLARE large NO SCROLL CURSOR FOR ' . variable('LARGE'));
    $rows = 0;
    do {
        $part = count($connection->query('FETCH FORWARD 1000 FROM large')->fetchAll(PDO::FETCH_NUM));
        $rows += $part;
    } while ($part > 0);
    $connection->exec('CLOSE large');
    $connection->commit();
    check($rows === (int) variable('LARGE_ROWS'), $rows);
}

function a_query_is_cancelled(): void
{
    $connection = pg_connect(address() . ' user=ann password=' . variable('PASSWORD'));
    pg_send_query($connection, variable('ENDLESS'));
    $other = connect();
    for ($attempt = 0; $other->query(variable('RUNNING'))->fetchColumn() === 0; $attempt++) {
        check($attempt < 1_200, 'the query does not run');
        usleep(50_000);
    }
    // Waits for the end of the query, and drops its result.
    check(pg_cancel_query($connection), pg_last_error($connection));
    check(pg_fetch_result(pg_query($connection, 'SELECT 1'), 0, 0) === '1', 'the connection goes on');
}

function copies_are_read_and_written(): void
{
    $connection = connect();
    $connection->pgsqlCopyFromArray('cpu', ["2024-01-01 00:00:00\tphp copy\t1.5"], "\t", '\\\\N', 'time,host,usage');
    $rows = $connection->pgsqlCopyToArray('cpu', "\t", '\\\\N', 'host,usage');
    check(in_array("php copy\t1.5\n", $rows, true), $rows);
}

function errors_have_codes(): void
{
    $connection = connect();
    refuses('42P01', fn () => $connection->query('SELECT * FROM missing'));
    refuses('42601', fn () => $connection->query('SELECT 1 + , 2'));
    check($connection->query('SELECT 1')->fetchColumn() === 1, 'the connection goes on');
    refuses('42501', fn () => connect(variable('READER'))->exec("DELETE FROM cpu WHERE host = 'a'"));
}

function wrong_passwords_and_unknown_databases_are_refused(): void
{
    // PDO has a code of its own for all failures to connect.
    foreach ([['apiv3_wrong', null, 'password authentication failed'], [null, 'missing', 'does not exist']] as $case) {
        [$password, $database, $message] = $case;
        try {
            connect($password, $database);
        } catch (PDOException $error) {
            check(str_contains($error->getMessage(), $message), $error->getMessage());
            continue;
        }
        throw new RuntimeException("not refused: $message");
    }
}

queries_have_values_of_every_type();
writes_have_values_of_every_type();
copies_are_read_and_written();
a_large_answer_is_read_in_parts();
a_query_is_cancelled();
errors_have_codes();
wrong_passwords_and_unknown_databases_are_refused();
