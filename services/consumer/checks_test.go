package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The file of a key is read as those of all secrets are, whatever an editor has added.
func TestSelfTestReadsItsKey(t *testing.T) {
	var shown string
	producer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = r.Header.Get("Authorization")
		w.WriteHeader(http.StatusBadRequest) // the test is about the key alone
	}))
	defer producer.Close()
	t.Setenv("DATABASE_PASSWORD", "x")
	t.Chdir(t.TempDir())
	file := filepath.Join(t.TempDir(), "key")
	selfTest := func() error {
		cmd := command()
		cmd.SetArgs([]string{"selftest", "--url=" + producer.URL, "--key-file=" + file})
		return cmd.ExecuteContext(t.Context())
	}
	for _, content := range []string{"tp_key", "tp_key\r\n", "\ufefftp_key\r\n", " tp_key \n\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := selfTest(); err == nil || !strings.Contains(err.Error(), "400") || shown != "Bearer tp_key" {
			t.Errorf("%q: the producer was shown %q, %v", content, shown, err)
		}
	}
	for _, content := range []string{"", "\r\n", "\ufeff\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := selfTest(); err == nil || !strings.Contains(err.Error(), "--key-file names an empty file") {
			t.Errorf("%q: %v", content, err)
		}
	}
}
