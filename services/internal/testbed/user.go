package testbed

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

// Rights are what a user may do in a vhost, each a regular expression of names.
type Rights struct{ Configure, Write, Read string }

// Users makes users of the vhost, one for each name and its rights, and returns the vhost as each
// of them sees it. They are deleted after the test.
func (v Vhost) Users(t testing.TB, rights map[string]Rights) map[string]Vhost {
	t.Helper()
	type user struct {
		Name     string   `json:"name"`
		Password string   `json:"password"`
		Tags     []string `json:"tags"`
	}
	type permission struct {
		User      string `json:"user"`
		Vhost     string `json:"vhost"`
		Configure string `json:"configure"`
		Write     string `json:"write"`
		Read      string `json:"read"`
	}
	var definitions struct {
		Users       []user       `json:"users"`
		Permissions []permission `json:"permissions"`
	}
	seen := make(map[string]Vhost, len(rights))
	for role, r := range rights {
		as := v
		as.User, as.Password = role+"_"+uniqueName(), "a password" // users are the broker's: others have such, too
		seen[role] = as
		definitions.Users = append(definitions.Users, user{as.User, as.Password, []string{}})
		definitions.Permissions = append(definitions.Permissions, permission{as.User, v.Name, r.Configure, r.Write, r.Read})
	}
	text, err := json.Marshal(definitions)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.server.CtlInput(t.Context(), string(text), "import_definitions"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, as := range seen {
			if _, err := v.server.Ctl(ctx, "delete_user", as.User); err != nil && v.server.Running() {
				t.Errorf("deleting a user of the test: %v", err)
			}
		}
	})
	return seen
}
