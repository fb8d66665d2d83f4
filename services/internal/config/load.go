package config

import (
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

// Load reads the configuration of a binary from environ ("NAME=value", as
// [os.Environ] has them) and from .env in dir. Its error is an [*Error] with
// every fault; the configuration is then nil.
func Load(binary Binary, environ []string, dir string) (*Config, error) {
	cfg := new(Config)
	l := loader{binary: binary, env: newEnvironment(environ), fields: fields(cfg)}

	secrets := map[string]bool{}
	for _, f := range l.fields {
		secrets[f.name] = f.isSecret()
	}
	l.faults = l.env.addDotEnv(dir, secrets)

	for _, f := range l.fields {
		if f.isSecret() {
			l.setSecret(f)
		} else {
			l.set(f)
		}
	}
	l.validate(cfg)

	if len(l.faults) > 0 {
		l.sortFaults()
		l.warned = nil
		l.warnOfUnknown() // a misspelt name may be why another is missing
		return nil, &Error{append(l.faults, l.warned...)}
	}
	l.warnOfUnknown()
	cfg.warnings = l.warned
	return cfg, nil
}

type loader struct {
	binary Binary
	env    environment
	fields []field
	faults []Fault
	warned []Fault
}

// warn adds what is wrong, and stops nobody.
func (l *loader) warn(name, problem string) {
	l.warned = append(l.warned, Fault{Name: name, Problem: problem, Got: l.env[name]})
}

// warnSecret keeps the value out of it.
func (l *loader) warnSecret(name, problem string) {
	l.warned = append(l.warned, Fault{Name: name, Problem: problem})
}

// blame adds a fault of a variable whose value may be shown.
func (l *loader) blame(name, problem string) {
	l.faults = append(l.faults, Fault{Name: name, Problem: problem, Got: l.env[name]})
}

// blameSecret adds a fault and keeps the value out of it.
func (l *loader) blameSecret(name, problem string) {
	l.faults = append(l.faults, Fault{Name: name, Problem: problem})
}

func (l *loader) blamed(name string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool { return f.Name == name })
}

// sortFaults puts faults in the order of the struct; those of no field (.env) first.
func (l *loader) sortFaults() {
	position := map[string]int{}
	for i, f := range l.fields {
		position[f.name] = i + 1
		position[f.name+fileSuffix] = i + 1
	}
	slices.SortStableFunc(l.faults, func(a, b Fault) int { return position[a.Name] - position[b.Name] })
}

// set fills a field that is no secret.
func (l *loader) set(f field) {
	text, present := l.env[f.name]
	if !present {
		text = f.tag.Get("envDefault")
		if text == "" {
			return
		}
	}
	text = strings.TrimSpace(text)
	unusable := text == "" || strings.ContainsFunc(text, unicode.IsControl)
	if unusable && f.section == tracingSection {
		text, unusable = l.passOver(f), false
		if text == "" {
			return
		}
	}
	value, err := values.Parse(f.value.Type(), text)
	if err == nil {
		f.value.Set(value)
	}
	switch {
	case err != nil || !f.inBounds():
		l.blame(f.name, "must be "+f.want()+serviceLinkHint(text))
	case unusable:
		l.blame(f.name, "must not be blank or hold control characters")
	case f.tag.Get("file") == "readable" && present && l.binary&f.usedBy != 0:
		l.checkReadable(f.name, text)
	}
}

// serviceLinkHint explains a port such as tcp://10.0.0.1:5672: Kubernetes sets
// RABBITMQ_PORT so in every pod when there is a Service called rabbitmq.
func serviceLinkHint(text string) string {
	if strings.HasPrefix(text, "tcp://") {
		return "; Kubernetes sets this for a Service of that name unless the pod has enableServiceLinks: false"
	}
	return ""
}

// checkReadable looks at a file that a library will open later, so that its absence is reported
// with all other faults.
func (l *loader) checkReadable(name, path string) {
	if err := values.CheckReadable(path); err != nil {
		l.blame(name, err.Error())
	}
}

// setSecret fills a secret from its variable or its file.
func (l *loader) setSecret(f field) {
	text, present := l.env[f.name]
	path, inFile := l.env[f.name+fileSuffix]
	used := l.binary&f.usedBy != 0
	switch {
	case present && inFile:
		l.blameSecret(f.name, "is set and so is "+f.name+fileSuffix+": set one of them")
		return
	case inFile && used:
		var err error
		if text, err = values.ReadSecret(path); err != nil {
			l.blame(f.name+fileSuffix, err.Error())
			return
		}
	case inFile: // some other binary's: its file need not be here
		return
	case !present:
		text = f.tag.Get("envDefault")
	}
	if strings.TrimSpace(text) != text && used && f.name != "IDENTITY_KEY" { // its digits are all that counts
		l.warnSecret(f.name, "begins or ends with white space, which is taken as a part of it")
	}
	switch {
	case strings.ContainsRune(text, 0) && f.section != tracingSection:
		l.blameSecret(f.name, "must not hold a NUL byte") // both servers' protocols end or split it there
	case text != "":
		f.value.Set(reflect.ValueOf(values.NewSecret(text)))
	case l.binary&f.required != 0:
		l.blameSecret(f.name, "is required; set it or "+f.name+fileSuffix)
	}
}
