package config

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/joho/godotenv"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

const fileSuffix = "_FILE"

// environment holds the variables that are set: present and not empty.
type environment map[string]string

// newEnvironment reads "NAME=value" strings, as os.Environ has them; the last of two wins, as in
// os/exec.
func newEnvironment(environ []string) environment {
	env := environment{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" {
			delete(env, name)
			continue
		}
		env[name] = value
	}
	return env
}

// addDotEnv puts the values of dir/.env below those of the environment. A missing file is not a
// fault. The words of the parser are dropped: they quote the rest of the file, with its secrets.
func (env environment) addDotEnv(dir string, secrets map[string]bool) []Fault {
	path := filepath.Join(dir, ".env")
	settings, err := readDotEnv(path)
	var pathError *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.As(err, &pathError):
		return []Fault{{Name: ".env", Problem: "cannot be read: " + pathError.Err.Error(), Got: path}}
	case err != nil || !allNames(settings):
		return []Fault{{Name: ".env", Problem: "cannot be parsed: every line must be NAME=value, a comment or empty, and quotes must close", Got: path}}
	}
	below := environment{}
	for name, value := range settings {
		if value != "" && !env.decides(name, secrets) {
			below[name] = value
		}
	}
	maps.Copy(env, below)
	return nil
}

func readDotEnv(path string) (map[string]string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // in the folder that we were started in
	if err != nil {
		return nil, err
	}
	return godotenv.Unmarshal(strings.TrimPrefix(string(text), values.ByteOrderMark))
}

// allNames reports whether every name is a valid one: the parser also takes words with spaces
// between, and a last line without an equals sign as the value of "".
func allNames(settings map[string]string) bool {
	for name := range settings {
		if name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
			return false
		}
	}
	return true
}

// decides reports whether the environment, not .env, decides a variable: because it has the
// variable or, for a secret, the other one of the value and the file.
func (env environment) decides(name string, secrets map[string]bool) bool {
	if _, ok := env[name]; ok {
		return true
	}
	other := name + fileSuffix
	if plain, ok := strings.CutSuffix(name, fileSuffix); ok && secrets[plain] {
		other = plain
	} else if !secrets[name] {
		return false
	}
	_, ok := env[other]
	return ok
}
