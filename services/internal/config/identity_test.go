package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const keyText = "00112233445566778899aabbccddeeffffeeddccbbaa99887766554433221100"

func TestIdentityKey(t *testing.T) {
	file := func(content string) string {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "IDENTITY_KEY_FILE=" + name
	}
	want := []byte("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff" +
		"\xff\xee\xdd\xcc\xbb\xaa\x99\x88\x77\x66\x55\x44\x33\x22\x11\x00")
	for _, setting := range []string{
		"IDENTITY_KEY=" + keyText, "IDENTITY_KEY= \t" + strings.ToUpper(keyText) + " ",
		file(keyText), file("\n  " + keyText + "\r\n\n"),
	} {
		for _, binary := range []Binary{ForProducer, ForConsumer, ForLetters} {
			if got := load(t, binary, "DATABASE_PASSWORD=x", setting).Service.IdentityKeyBytes(); !bytes.Equal(got, want) {
				t.Errorf("%q for %d gives %x", setting, binary, got)
			}
		}
	}
	if got := load(t, ForProducer).Service.IdentityKeyBytes(); got != nil {
		t.Errorf("without a key it is %x", got)
	}

	for name, setting := range map[string]string{
		"short":        "IDENTITY_KEY=" + keyText[2:],
		"odd":          "IDENTITY_KEY=" + keyText + "0",
		"base64":       "IDENTITY_KEY=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8AAECAwQFBgcICQoLDA0O=",
		"a passphrase": "IDENTITY_KEY=correct horse battery staple correct horse battery staple and more",
		"zeros":        "IDENTITY_KEY=" + strings.Repeat("0", 64),
		"two keys":     file(keyText + "\n" + keyText + "\n"),
		"a disk":       file(strings.Repeat(keyText, 17)),
		"blank":        file(" \n \n"),
		"raw bytes":    file(strings.Repeat("\x01\x02\xfe\xff", 8)),
	} {
		_, err := Load(ForProducer, []string{setting}, t.TempDir())
		bad := new(Error)
		if !errors.As(err, &bad) || len(bad.Faults) != 1 || !strings.Contains(err.Error(), "at least 64 hex digits (openssl rand -hex 32)") {
			t.Errorf("%s: %v", name, err)
			continue
		}
		variable, value, _ := strings.Cut(setting, "=")
		if bad.Faults[0].Name != variable || variable == "IDENTITY_KEY" && strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
