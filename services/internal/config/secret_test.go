package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	const value = "hunter2"
	secret := values.NewSecret(value)
	cfg := load(t, ForConsumer, "DATABASE_PASSWORD="+value)
	hidden := struct{ inside values.Secret }{secret} // fmt can't call methods of this field

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
		for _, x := range []any{secret, &secret, hidden, *cfg, cfg, []values.Secret{secret}, map[string]values.Secret{"k": secret}} {
			fmt.Fprintf(&out, verb+"\n", x)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("start", "secret", secret, "pointer", &secret, "config", cfg, "hidden", hidden)
	}
	if err := json.NewEncoder(&out).Encode(cfg); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, fmt.Errorf("dial %v", secret))

	for _, leak := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprint([]byte(value))} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in the output:\n%s", leak, out.String())
		}
	}
	if got := fmt.Sprint(secret); got != "[redacted]" { //nolint:gocritic // fmt is what is asked
		t.Errorf("prints as %q", got)
	}
	if secret.Reveal() != value || !secret.IsSet() || (values.Secret{}).IsSet() {
		t.Error("the value itself is lost")
	}
}

// Passwords that one client of PostgreSQL's could log in with and another could not are refused by
// name.
func TestPasswordsThatClientsReadAlike(t *testing.T) {
	for _, good := range []string{"secret", `p@ss:w/rd?#%&"'\`, " ", "pässwörd", "😀", "a\u00a0b", "tab\t", "A\u030a", "пароль", "密码", strings.Repeat("x", 300)} {
		load(t, ForConsumer, "DATABASE_PASSWORD="+good)
	}
	for _, bad := range []string{"x²", "½", "ＡＢＣ", "ﬁ", "a\u00adb", "№", "①"} {
		for binary, name := range map[Binary]string{ForConsumer: "DATABASE_PASSWORD", ForMigrate: "MIGRATE_DATABASE_PASSWORD", ForRoles: "READER_DATABASE_PASSWORD"} {
			environ := []string{"DATABASE_PASSWORD=x", "MIGRATE_DATABASE_PASSWORD=x", "READER_DATABASE_PASSWORD=x", "ADMIN_DATABASE_PASSWORD=x", name + "=" + bad}
			got := faults(t, binary, t.TempDir(), environ...)
			if !strings.HasPrefix(got, name+": holds a character") || strings.Contains(got, "(got") {
				t.Errorf("%s=%s: %s", name, bad, got)
			}
		}
	}
}

// White space at the ends of a password is a part of it, and mostly a slip.
func TestWhiteSpaceAroundSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for text, warns := range map[string]bool{"x\t\n": true, " x": true, "x\r\n": false, "x y\n\n": false} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := load(t, ForConsumer, "DATABASE_PASSWORD_FILE="+file)
		if got := fmt.Sprint(cfg.Warnings()); warns != (got == "[DATABASE_PASSWORD: begins or ends with white space, which is taken as a part of it]") {
			t.Errorf("%q: %s", text, got)
		}
		cfg = load(t, ForConsumer, "DATABASE_PASSWORD=x", "IDENTITY_KEY= "+strings.Repeat("0123456789abcdef", 4)+" \n")
		if got := fmt.Sprint(cfg.Warnings()); got != "[]" || len(cfg.Service.IdentityKeyBytes()) != 32 {
			t.Errorf("an identity key, of which white space is no part: %s", got)
		}
		cfg = load(t, ForConsumer, "DATABASE_PASSWORD_FILE="+file)
		if want := strings.TrimRight(text, "\r\n"); cfg.Database.Password.Reveal() != want {
			t.Errorf("%q: the password is %q", text, cfg.Database.Password.Reveal())
		}
	}
}
