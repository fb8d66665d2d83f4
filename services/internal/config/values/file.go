package values

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// ByteOrderMark is what some editors begin a file with.
const ByteOrderMark = "\ufeff"

// maxSecretBytes bounds what is read from the file of a secret: a password, not a disk.
const maxSecretBytes = 64 << 10

// ReadSecret returns the content of a file without a byte-order mark at its beginning and line
// breaks at its end, as prepare.sh of RabbitMQ in the chart does. An empty file is an error. Errors
// do not name the file, and fit after the name of its variable.
func ReadSecret(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", fmt.Errorf("cannot be read: %s", reason(err))
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	if err != nil {
		return "", fmt.Errorf("cannot be read: %s", reason(err))
	}
	if len(content) > maxSecretBytes {
		return "", fmt.Errorf("names a file of more than %d bytes", maxSecretBytes)
	}
	text := strings.TrimRight(strings.TrimPrefix(string(content), ByteOrderMark), "\r\n")
	if text == "" {
		return "", errors.New("names an empty file")
	}
	return text, nil
}

// CheckReadable returns an error for what is no file that can be read. Its errors are as those of
// ReadSecret.
func CheckReadable(path string) error {
	file, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return fmt.Errorf("cannot be read: %s", reason(err))
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return errors.New("is a directory")
	}
	return nil
}

// reason returns the text of an error of package os without the path.
func reason(err error) string {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError.Err.Error()
	}
	return err.Error()
}
