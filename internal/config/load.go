package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/spf13/pflag"
)

// FileVariable names the configuration file in the environment; the flag is
// --config.
const FileVariable = "BERTH_CONFIG"

// AddFlags defines a flag for every option that has one, and --config.
func AddFlags(fs *pflag.FlagSet) { addFlags(fs, func(o option) bool { return o.flag }) }

// AddClientFlags defines --config and flags for those options that the commands
// read which ask a running server on the same machine.
func AddClientFlags(fs *pflag.FlagSet) { addFlags(fs, func(o option) bool { return o.key == "data" }) }

func addFlags(fs *pflag.FlagSet, wanted func(option) bool) {
	fs.String("config", "", "configuration file in YAML ("+FileVariable+")")
	for _, o := range new(Config).options() {
		if !wanted(o) {
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
	if err := c.loadFile(options, file); err != nil {
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
		case strings.HasPrefix(name, "BERTH_") && !slices.Contains(clientVariables, name):
			return "", nil, fmt.Errorf("unknown variable %s in the environment", name)
		}
	}
	return file, env, nil
}

func (c *Config) loadFile(options map[string]option, file string) error {
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
	byName := map[string]option{}
	for _, o := range options {
		byName[o.file] = o
	}
	for key, v := range values {
		if key == endpointsKey {
			if c.Endpoints, err = readEndpoints(v.node); err != nil {
				return fmt.Errorf("%s: %s: %w", file, key, err)
			}
			continue
		}
		o, ok := byName[key]
		if !ok {
			return fmt.Errorf("%s: unknown key %q", file, key)
		}
		err := v.err
		if err == nil {
			err = o.read(v)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, key, err)
		}
	}
	return nil
}

// read reads the option from a value of the file.
func (o option) read(v value) error {
	switch {
	case v.form == formMap && o.form != "map", v.form == formMaps && o.form != "maps":
		return errNoValue
	case v.form != formText && o.value.Kind() != reflect.Slice:
		return errors.New("is not a list")
	}
	return o.set(v.text)
}

// value is a value of the file as it is written there: a secret such as 0x10 is
// text, not 16.
type value struct {
	text string // the elements of anything but a text are joined by commas
	form form
	err  error // it has none of the forms
	node ast.Node
}

// form is what a value of the file is made of.
type form int

const (
	formText form = iota
	formList      // of texts
	formMap       // of texts; its elements are name=value
	formMaps      // a list of maps, and perhaps of texts: storage quotas
)

// UnmarshalYAML implements [yaml.NodeUnmarshaler].
func (v *value) UnmarshalYAML(n ast.Node) error {
	v.node = n
	var texts []string
	add := func(text string, err error) {
		texts, v.err = append(texts, text), errors.Join(v.err, err)
	}
	switch n := n.(type) {
	case *ast.SequenceNode:
		v.form = formList
		for _, item := range n.Values {
			if m, ok := item.(ast.MapNode); ok {
				v.form = formMaps
				add(storageLimit(m))
				continue
			}
			add(scalar(item))
		}
	case ast.MapNode:
		v.form = formMap
		for i := n.MapRange(); i.Next(); {
			name, err := scalar(i.Key())
			text, wrong := scalar(i.Value())
			add(name+"="+text, errors.Join(err, wrong))
		}
	default:
		add(scalar(n))
	}
	v.text = strings.Join(texts, ",")
	return nil
}

// storageLimit returns a storage quota of the file as the flag has it.
func storageLimit(m ast.MapNode) (string, error) {
	members := map[string]string{}
	for i := m.MapRange(); i.Next(); {
		key, err := scalar(i.Key())
		text, wrong := scalar(i.Value())
		if err := errors.Join(err, wrong); err != nil {
			return "", err
		}
		switch key {
		case "account", "prefix", "bytes":
			members[key] = text
		default:
			return "", fmt.Errorf("has an unknown key %q", key)
		}
	}
	account := members["account"]
	if p := members["prefix"]; p != "" {
		account += "/" + p
	}
	return account + "=" + members["bytes"], nil
}

var errNoValue = errors.New("is not a value")

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
	return "", errNoValue
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
