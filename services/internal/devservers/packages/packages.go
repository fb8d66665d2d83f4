package packages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// PostgresDirs are patterns of where packages put PostgreSQL's programs: Debian and Ubuntu, the
// PGDG's and Fedora's RPMs, Homebrew on either processor.
var PostgresDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/opt/homebrew/opt/postgresql/bin",
	"/usr/local/opt/postgresql/bin",
	"/usr/bin",
}

// RabbitDirs are patterns of where packages put RabbitMQ's own scripts. /usr/sbin is missing: on
// Debian it holds wrappers that insist on the user rabbitmq and its folders.
var RabbitDirs = []string{
	"/usr/lib/rabbitmq/bin",
	"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
	"/usr/lib64/rabbitmq/bin",
	"/opt/homebrew/opt/rabbitmq/sbin",
	"/usr/local/opt/rabbitmq/sbin",
	"/opt/rabbitmq/sbin",
	"/usr/local/sbin",
}

// Installed reports every package that is missing.
func Installed() error {
	_, postgres := PostgresBin("")
	_, rabbit := RabbitBin()
	return errors.Join(postgres, rabbit)
}

// PostgresBin finds the folder of PostgreSQL's server programs: those of the major
// version, or the newest when major is "".
func PostgresBin(major string) (string, error) {
	type found struct {
		dir     string
		version int
	}
	var all []found
	for _, pattern := range PostgresDirs {
		dirs, _ := filepath.Glob(pattern) // the patterns are constants and well formed
		for _, dir := range dirs {
			if !executable(filepath.Join(dir, "initdb")) || !executable(filepath.Join(dir, "postgres")) {
				continue
			}
			v, err := postgresMajor(filepath.Join(dir, "postgres"))
			if err != nil {
				return "", err
			}
			if major == "" || major == strconv.Itoa(v) {
				all = append(all, found{dir, v})
			}
		}
	}
	if len(all) == 0 {
		if major != "" {
			return "", fmt.Errorf("the data are PostgreSQL %s's, and its server programs are not installed", major)
		}
		return "", errors.New("PostgreSQL's server programs (initdb, postgres) are not installed")
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].version > all[j].version })
	return all[0].dir, nil
}

// postgresMajor asks a postgres program for its major version.
func postgresMajor(program string) (int, error) {
	out, err := exec.Command(program, "--version").Output() // "postgres (PostgreSQL) 15.18 (Debian …)"
	if err != nil {
		return 0, fmt.Errorf("%s --version: %w", program, err)
	}
	fields := strings.Fields(string(out))
	if len(fields) < 3 {
		return 0, fmt.Errorf("%s --version: unexpected answer %q", program, out)
	}
	digits := fields[2]
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i > 0 { // 15.18, 19beta1
		digits = digits[:i]
	}
	v, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("%s --version: unexpected answer %q", program, out)
	}
	return v, nil
}

// RabbitBin finds the folder of RabbitMQ's own scripts, and makes sure that there
// is an epmd for a node to register with.
func RabbitBin() (string, error) {
	for _, pattern := range RabbitDirs {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range slices.Backward(dirs) { // the newest sorts last
			if executable(filepath.Join(dir, "rabbitmq-server")) && executable(filepath.Join(dir, "rabbitmqctl")) {
				_, err := EPMD()
				return dir, err
			}
		}
	}
	return "", errors.New("RabbitMQ's server programs (rabbitmq-server, rabbitmqctl) are not installed")
}

// EPMD finds Erlang's port mapper daemon: on the path, or beside the emulator of
// an Erlang that puts only erl there.
func EPMD() (string, error) {
	if path, err := exec.LookPath("epmd"); err == nil {
		return path, nil
	}
	for _, pattern := range []string{
		"/usr/lib/erlang/bin/epmd", "/usr/lib/erlang/erts-*/bin/epmd", "/usr/lib64/erlang/bin/epmd",
		"/opt/homebrew/opt/erlang*/lib/erlang/bin/epmd", "/usr/local/opt/erlang*/lib/erlang/bin/epmd",
		"/opt/homebrew/opt/erlang*/lib/erlang/erts-*/bin/epmd", "/usr/local/opt/erlang*/lib/erlang/erts-*/bin/epmd",
	} {
		if paths, _ := filepath.Glob(pattern); len(paths) > 0 {
			return paths[len(paths)-1], nil
		}
	}
	return "", errors.New("epmd, of Erlang, is not installed")
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}
