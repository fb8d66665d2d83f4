package testbed

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestMain(m *testing.M) { Main(m) }

func TestEachTestHasItsOwnDatabaseAndVhost(t *testing.T) {
	for range 2 {
		t0 := time.Now()
		db := Postgres(t)
		t.Log("db", time.Since(t0))
		var n int
		if err := db.Connect(t, db.Reader).QueryRow(t.Context(), "SELECT count(*) FROM log_events").Scan(&n); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		db.Connect(t, db.Writer)
		db.Connect(t, db.Owner)
		t0 = time.Now()
		EmptyPostgres(t)
		t.Log("empty", time.Since(t0))
	}
	for range 4 {
		t0 := time.Now()
		v := Rabbit(t)
		t.Log("vhost", time.Since(t0))
		conn, err := amqp.Dial(v.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
}
