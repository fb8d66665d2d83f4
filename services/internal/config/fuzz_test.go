package config

import (
	"errors"
	"strings"
	"testing"
)

// FuzzDotEnv: whatever stands in .env, the start goes on or every fault has a name
// and words; the environment wins, and its secret stays one.
func FuzzDotEnv(f *testing.F) {
	for _, seed := range []string{
		"", "DATABASE_PASSWORD=x\n", "export CONSUMER_WORKERS=4 # four\nLOG_LEVEL='DEBUG'\r\n", "A=\"${DATABASE_PASSWORD}\\n$A\"", "=", "A", "\"", "A='", "\xef\xbb\xbfA=1",
		"CONSUMER_WORKERS=-1\nCONSUMER_RETRY_DELAY=1d12h\nMEMORY_BUDGET=64MiB\nRABBITMQ_PORT=tcp://10.0.0.1:5672",
		"DATABASE_PASSWORD_FILE=/nowhere\nDATABASE_PORT=${DATABASE_PASSWORD}",
	} {
		f.Add([]byte(seed))
	}
	const password = "correct horse battery staple"
	dir := f.TempDir() // of this process, which has one input after the other
	f.Fuzz(func(t *testing.T, content []byte) {
		write(t, dir, ".env", string(content))
		cfg, err := Load(ForConsumer, []string{"DATABASE_PASSWORD=" + password}, dir)
		if err == nil {
			if got := cfg.Database.Password.Reveal(); got != password {
				t.Fatalf("the password is %q", got)
			}
			return
		}
		bad, ok := errors.AsType[*Error](err)
		if !ok || len(bad.Faults) == 0 {
			t.Fatalf("refused by %T: %v", err, err)
		}
		for _, fault := range bad.Faults {
			if fault.Name == "" || fault.Problem == "" {
				t.Fatalf("a fault without words: %+v", fault)
			}
		}
		if strings.Contains(err.Error(), password) {
			t.Fatalf("the error tells the password: %v", err)
		}
	})
}
