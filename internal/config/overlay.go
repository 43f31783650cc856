package config

import (
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// prefix begins every variable that overrides a key.
const prefix = "OUTRIDER_"

// setting is a key whose whole path the schema fixes, so that a variable or flag
// can name it. Below it are a word or a list of words.
type setting struct {
	path  string
	index [][]int // of the field, a step for each block
	tags  reflect.StructTag
	list  bool
}

// variable returns the name of the setting in the environment.
func (s setting) variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(s.path, ".", "_"))
}

// flag returns the name of the setting on the command line.
func (s setting) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.path) }

// slot returns where viper keeps the setting: a block's short form beside its keys.
func (s setting) slot() string {
	if s.tags.Get("key") == "" {
		return s.path + ".short"
	}
	return s.path
}

// field returns the setting's field; blocks that are not there are made.
func (s setting) field(c *Config) reflect.Value {
	v := valueOf(c)
	for _, step := range s.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
				v.Elem().Set(blank(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.FieldByIndex(step)
	}
	return v
}

// settings returns every setting of the schema.
func settings() []setting {
	all := []setting{}
	var visit func(t reflect.Type, above setting)
	visit = func(t reflect.Type, above setting) {
		for _, f := range fieldsOf(t) {
			s := setting{path: under(above.path, f.key), index: append(above.index[:len(above.index):len(above.index)], []int{f.index}), tags: f.tags}
			if f.key == "" { // the short form of the block itself
				s.path = above.path
			}
			inner := f.typ
			if inner.Kind() == reflect.Pointer { // a block that may be absent; none of the words is a pointer
				inner = inner.Elem()
			}
			switch {
			case isScalar(inner):
				all = append(all, s)
			case inner.Kind() == reflect.Slice && isScalar(inner.Elem()):
				s.list = true
				all = append(all, s)
			case inner.Kind() == reflect.Struct:
				visit(inner, s)
			}
		}
	}
	visit(reflect.TypeFor[Config](), setting{})
	return all
}

// overlay lays the environment over the file, and flags over the environment.
//
// viper does the layering, for settings alone: it folds keys to lower case and
// splits them at dots, which the schema's own keys stand and the user's (paths,
// service names, headers) would not.
func (l *loader) overlay() {
	v := viper.New()
	byVariable, byFlag := map[string]setting{}, map[string]setting{}
	for _, s := range settings() {
		byVariable[s.variable()], byFlag[s.flag()] = s, s
	}
	overridden := map[string]setting{}
	for _, name := range sorted(l.environ) {
		if s, ok := byVariable[name]; ok && l.environ[name] != "" { // empty is how compose files pass what is not set
			l.layer(v, s, l.environ[name])
			overridden[s.path], l.origins[s.path] = s, name
		}
	}
	if l.Flags != nil {
		l.Flags.VisitAll(func(f *pflag.Flag) {
			if s, ok := byFlag[f.Name]; ok && f.Changed {
				_ = v.BindPFlag(s.slot(), f) // fails for a nil flag only
				overridden[s.path], l.origins[s.path] = s, "--"+f.Name
			}
		})
	}
	for _, path := range sorted(overridden) {
		s := overridden[path]
		l.override(s, v.GetStringSlice(s.slot()), v.GetString(s.slot()))
	}
	if url := l.environ["REDIS_URL"]; url != "" && !l.has("redis.url") {
		l.cfg.Redis.URL = url
	}
}

// layer adds one variable to v.
func (l *loader) layer(v *viper.Viper, s setting, text string) {
	var value any = text
	if s.list {
		value = strings.Split(text, ",")
	}
	keys := strings.Split(s.slot(), ".")
	for i := len(keys) - 1; i > 0; i-- {
		value = map[string]any{keys[i]: value}
	}
	_ = v.MergeConfigMap(map[string]any{keys[0]: value}) // never fails for maps of strings
}

// override puts what a variable or flag says in the place of what the file says.
func (l *loader) override(s setting, words []string, text string) {
	into := s.field(l.cfg)
	if !s.list {
		l.overrideWord(s, into, text)
		return
	}
	fresh := reflect.MakeSlice(into.Type(), len(words), len(words))
	for i, word := range words {
		l.overrideWord(s, fresh.Index(i), strings.TrimSpace(word))
	}
	into.Set(fresh)
}

func (l *loader) overrideWord(s setting, into reflect.Value, text string) {
	want := set(into, s.tags, text)
	if want != "" {
		l.fault(s.path, "want %s, found %q", want, shorten(maskUserinfo(text)))
		return
	}
	if err := l.attach(s.tags, text); err != nil {
		l.fault(s.path, "%v", err)
	}
}
