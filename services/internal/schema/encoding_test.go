package schema_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// A database that can't hold every event is refused by who migrates it and by who stores, with the
// command that makes one that can.
func TestEncoding(t *testing.T) {
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			db := testbed.EmptyPostgres(t)
			admin := db.Connect(t, db.Admin)
			db.Name += "_" + strings.ToLower(encoding)
			exec(t, admin, "CREATE DATABASE "+quote(db.Name)+" TEMPLATE template0 ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C' OWNER "+quote(db.Owner.Name))
			defer exec(t, admin, "DROP DATABASE "+quote(db.Name))
			cfg := schema.RolesConfig{
				Admin: admin.Config(), Database: db.Name,
				Owner: schema.Login(db.Owner), Writer: schema.Login(db.Writer), Reader: schema.Login(db.Reader),
			}
			if err := schema.Roles(t.Context(), cfg); !errors.Is(err, durable.ErrEncoding) || !strings.Contains(err.Error(), encoding) {
				t.Errorf("migrate roles: %v", err)
			}
			err := schema.Up(t.Context(), owner(db))
			if !errors.Is(err, durable.ErrEncoding) {
				t.Fatalf("migrate up: %v", err)
			}
			stored := store.Check(t.Context(), store.Config{Host: db.Host, Port: db.Port, Database: db.Name, User: db.Writer.Name, Password: db.Writer.Password, SSLMode: "disable"}, false)
			if !errors.Is(stored, durable.ErrEncoding) {
				t.Errorf("the consumer's check: %v", stored)
			}
			if v, err := schema.Version(t.Context(), owner(db)); err != nil || v != 0 {
				t.Errorf("it is at version %d, %v", v, err)
			}
			for _, err := range []error{err, stored} {
				command := regexp.MustCompile(`CREATE DATABASE [^,;]+`).FindString(err.Error())
				if !strings.Contains(err.Error(), encoding) || command == "" {
					t.Fatal(err)
				}
				right := db
				right.Name = db.Name + "_utf8"
				exec(t, admin, "DROP DATABASE IF EXISTS "+quote(right.Name))
				exec(t, admin, command)
				conn := right.Connect(t, right.Admin)
				if err := durable.RequireUTF8(conn); err != nil {
					t.Error(err)
				}
				_ = conn.Close(t.Context())
				exec(t, admin, "DROP DATABASE "+quote(right.Name))
			}
		})
	}
}
