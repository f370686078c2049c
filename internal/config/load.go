package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/spf13/pflag"
)

// FileVariable names the configuration file in the environment; the flag is
// --config.
const FileVariable = "BERTH_CONFIG"

// AddFlags defines a flag for every option that has one, and --config.
func AddFlags(fs *pflag.FlagSet) {
	fs.String("config", "", "configuration file in YAML ("+FileVariable+")")
	for _, o := range new(Config).options() {
		if !o.flag {
			continue
		}
		usage := o.help + " (" + o.variable() + ")"
		switch o.value.Kind() {
		case reflect.Bool:
			fs.Bool(o.key, false, usage)
		case reflect.Slice:
			fs.StringSlice(o.key, nil, usage)
		default:
			fs.String(o.key, o.standard, usage)
		}
	}
}

// Load reads the configuration: defaults, then the file, then the environment
// (in the form of os.Environ), then the flags that were set. An unknown key of
// the file, or an unknown variable that begins with BERTH_, is an error. The
// result is valid.
func Load(fs *pflag.FlagSet, environ []string) (*Config, error) {
	c := new(Config)
	options := map[string]option{}
	for _, o := range c.options() {
		options[o.key] = o
		if o.standard != "" {
			if err := o.set(o.standard); err != nil {
				return nil, err
			}
		}
	}
	file, env, err := variables(options, environ)
	if err != nil {
		return nil, err
	}
	if f := fs.Lookup("config"); f != nil && f.Changed {
		file = f.Value.String()
	}
	if err := loadFile(options, file); err != nil {
		return nil, err
	}
	for key, text := range env {
		if err := options[key].set(text); err != nil {
			return nil, fmt.Errorf("%s: %w", options[key].variable(), err)
		}
	}
	if err := loadFlags(options, fs); err != nil {
		return nil, err
	}
	return c, c.Validate()
}

// variables returns what the environment says: the configuration file and the
// options by key.
func variables(options map[string]option, environ []string) (file string, env map[string]string, err error) {
	known := map[string]string{}
	for key, o := range options {
		known[o.variable()] = key
	}
	env = map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch key, ok := known[name]; {
		case name == FileVariable:
			file = value
		case ok:
			env[key] = value
		case strings.HasPrefix(name, "BERTH_"):
			return "", nil, fmt.Errorf("unknown variable %s in the environment", name)
		}
	}
	return file, env, nil
}

func loadFile(options map[string]option, file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	var values map[string]value
	if err := yaml.Unmarshal(text, &values); err != nil {
		return fmt.Errorf("%s is not YAML: %w", file, err)
	}
	for key, v := range values {
		o, ok := options[key]
		if !ok {
			return fmt.Errorf("%s: unknown key %q", file, key)
		}
		err := v.err
		if err == nil && v.list && o.value.Kind() != reflect.Slice {
			err = errors.New("is not a list")
		}
		if err == nil {
			err = o.set(v.text)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, key, err)
		}
	}
	return nil
}

// value is a value of the file as it is written there: a secret such as 0x10 is
// text, not 16.
type value struct {
	text string // a list's elements are joined by commas
	list bool
	err  error // it is neither text nor a list of texts
}

// UnmarshalYAML implements [yaml.NodeUnmarshaler].
func (v *value) UnmarshalYAML(n ast.Node) error {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		v.text, v.err = scalar(n)
		return nil
	}
	v.list = true
	var texts []string
	for _, item := range list.Values {
		text, err := scalar(item)
		v.err = errors.Join(v.err, err)
		texts = append(texts, text)
	}
	v.text = strings.Join(texts, ",")
	return nil
}

func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.NullNode:
		return "", nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case ast.ScalarNode:
		return n.GetToken().Value, nil
	}
	return "", errors.New("is not a value")
}

func loadFlags(options map[string]option, fs *pflag.FlagSet) error {
	var errs []error
	fs.Visit(func(f *pflag.Flag) {
		o, ok := options[f.Name]
		if !ok {
			return
		}
		text := f.Value.String()
		if s, ok := f.Value.(pflag.SliceValue); ok {
			text = strings.Join(s.GetSlice(), ",")
		}
		errs = append(errs, o.set(text))
	})
	return errors.Join(errs...)
}
