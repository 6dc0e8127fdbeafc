// Tests lib/pq and pgx, the drivers of PostgreSQL for Go, with TLS and without. postgres_program.py runs it, and describes
// the variables of the environment.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	_ "github.com/jackc/pgx/v4/stdlib"
	"github.com/lib/pq"
)

const (
	columns      = "host, v, n, u, note, up, time"
	placeholders = "$1, $2, $3, $4, $5, $6, $7"
)

// A row of the table every_type. The unsigned number is text, because database/sql has no values above 2^63.
type row struct {
	host string
	v    float64
	n    int64
	u    string
	note string
	up   bool
	time time.Time
}

var (
	moment = time.Date(2024, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	stored = row{"a", 0.5, -1, "18446744073709551615", "é \"quoted\" \\ text", true, moment}
)

func (r row) values() []any {
	return []any{r.host, r.v, r.n, r.u, r.note, r.up, r.time}
}

func scan(rows *sql.Rows) (row, error) {
	var r row
	err := rows.Scan(&r.host, &r.v, &r.n, &r.u, &r.note, &r.up, &r.time)
	r.time = r.time.UTC()
	return r, err
}

func variable(name string) string {
	return os.Getenv("NEAP_POSTGRES_" + name)
}

// Returns a pool of connections of a driver.
func open(driver, password, database string) *sql.DB {
	tls := "sslmode=disable"
	if certificate := os.Getenv("NEAP_CA_FILE"); certificate != "" {
		tls = "sslmode=verify-full sslrootcert=" + certificate
	}
	source := fmt.Sprintf("host=%s port=%s user=ann password=%s dbname=%s connect_timeout=60 %s",
		variable("HOST"), variable("PORT"), password, database, tls)
	return must(sql.Open(driver, source))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Panic(err)
	}
	return value
}

func check(condition bool, seen ...any) {
	if !condition {
		log.Panic(seen...)
	}
}

// Returns the code of an error of the server.
func code(err error) string {
	var ofPq *pq.Error
	var ofPgx *pgconn.PgError
	switch {
	case errors.As(err, &ofPq):
		return string(ofPq.Code)
	case errors.As(err, &ofPgx):
		return ofPgx.Code
	}
	return fmt.Sprint(err)
}

func refuses(state string, err error) {
	check(code(err) == state, state, " is expected: ", err)
}

func ignore[T any](_ T, err error) error {
	return err
}

func queriesHaveValuesOfEveryType(db *sql.DB) {
	condition := ""
	for number, name := range strings.Split(columns, ", ") {
		condition += fmt.Sprintf(" AND %s = $%d", name, number+1)
	}
	query := "SELECT " + columns + " FROM every_type WHERE true" + condition
	prepared := must(db.Prepare(query))
	defer prepared.Close()
	for attempt := 0; attempt < 3; attempt++ {
		for _, rows := range []*sql.Rows{must(db.Query(query, stored.values()...)), must(prepared.Query(stored.values()...))} {
			check(rows.Next(), "no row: ", rows.Err())
			found := must(scan(rows))
			check(found == stored, found)
			check(!rows.Next() && rows.Err() == nil, rows.Err())
		}
	}
}

func writesHaveValuesOfEveryType(db *sql.DB, driver string) {
	insert := "INSERT INTO every_type (" + columns + ") VALUES (" + placeholders + ")"
	written := row{driver, -1.25, 1 << 62, "7", "tab\t", false, moment}
	inserted := must(db.Exec(insert, written.values()...))
	check(must(inserted.RowsAffected()) == 1, "one row is inserted")
	must(db.Exec(insert, driver+" null", 1.5, nil, nil, nil, nil, moment))
	rows := must(db.Query("SELECT "+columns+" FROM every_type WHERE host = $1", driver))
	check(rows.Next(), "no row: ", rows.Err())
	found := must(scan(rows))
	check(found == written, found)
	rows.Close()

	transaction := must(db.Begin())
	must(transaction.Exec("INSERT INTO cpu (time, host, usage) VALUES ($1, $2, $3)", moment, driver+" rollback", 1.5))
	check(transaction.Rollback() == nil, "a rollback")
	transaction = must(db.Begin())
	must(transaction.Exec("INSERT INTO cpu (time, host, usage) VALUES ($1, $2, $3)", moment, driver+" commit", 1.5))
	check(transaction.Commit() == nil, "a commit")
	var count int
	query := "SELECT count(*) FROM cpu WHERE host IN ($1, $2)"
	check(db.QueryRow(query, driver+" rollback", driver+" commit").Scan(&count) == nil && count == 1, count)
}

// Rows are read as they arrive.
func aLargeAnswerIsReadInParts(db *sql.DB) {
	rows := must(db.Query(variable("LARGE")))
	count := 0
	for rows.Next() {
		count++
	}
	check(rows.Err() == nil && fmt.Sprint(count) == variable("LARGE_ROWS"), count, rows.Err())
	abandoned := must(db.Query(variable("LARGE")))
	check(abandoned.Next(), abandoned.Err())
	check(abandoned.Close() == nil, "an abandoned answer")
}

func aQueryIsCancelled(db *sql.DB) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		var sum any
		failed <- db.QueryRowContext(ctx, variable("ENDLESS")).Scan(&sum)
	}()
	running := func() (count int) {
		check(db.QueryRow(variable("RUNNING")).Scan(&count) == nil, "running queries")
		return count
	}
	for attempt := 0; running() == 0; attempt++ {
		check(attempt < 1_200, "the query does not run")
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	select {
	case err := <-failed:
		check(code(err) == "57014" || errors.Is(err, context.Canceled), err)
	case <-time.After(time.Minute):
		log.Panic("the query is not cancelled")
	}
	// The server has ended it, too.
	for attempt := 0; running() > 0; attempt++ {
		check(attempt < 1_200, "the query runs on")
		time.Sleep(50 * time.Millisecond)
	}
}

func errorsHaveCodes(db *sql.DB) {
	refuses("42P01", ignore(db.Query("SELECT * FROM missing")))
	refuses("42601", ignore(db.Query("SELECT 1 + , 2")))
	var one int
	check(db.QueryRow("SELECT 1").Scan(&one) == nil && one == 1, one)
}

func wrongPasswordsAndUnknownDatabasesAreRefused(driver string) {
	refuses("28P01", open(driver, "apiv3_wrong", variable("DATABASE")).Ping())
	refuses("3D000", open(driver, variable("PASSWORD"), "missing").Ping())
}

func readersMayNotWrite(driver string) {
	db := open(driver, variable("READER"), variable("DATABASE"))
	defer db.Close()
	refuses("42501", ignore(db.Exec("DELETE FROM cpu WHERE host = 'a'")))
}

// COPY of lib/pq.
func copiesAreWritten(db *sql.DB) {
	transaction := must(db.Begin())
	statement := must(transaction.Prepare(pq.CopyIn("cpu", "time", "host", "usage")))
	for second := 0; second < 1_000; second++ {
		must(statement.Exec(moment.Add(time.Duration(second)*time.Second), "go copy", float64(second)))
	}
	must(statement.Exec())
	check(statement.Close() == nil, "the end of a copy")
	check(transaction.Commit() == nil, "a commit")
	var sum float64
	check(db.QueryRow("SELECT sum(usage) FROM cpu WHERE host = 'go copy'").Scan(&sum) == nil && sum == 499_500, sum)
}

func main() {
	for _, driver := range []string{"postgres", "pgx"} {
		log.SetPrefix(driver + ": ")
		db := open(driver, variable("PASSWORD"), variable("DATABASE"))
		queriesHaveValuesOfEveryType(db)
		writesHaveValuesOfEveryType(db, driver)
		aLargeAnswerIsReadInParts(db)
		aQueryIsCancelled(db)
		errorsHaveCodes(db)
		if driver == "postgres" {
			copiesAreWritten(db)
		}
		db.Close()
		wrongPasswordsAndUnknownDatabasesAreRefused(driver)
		readersMayNotWrite(driver)
	}
}
