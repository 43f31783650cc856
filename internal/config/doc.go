// Package config reads the configuration: defaults, then the variables of Consul's
// own tools, then the file, then the environment, then flags, then every check that
// can be made without binding a port. It is the only user of viper.
//
// It never starts anything, never reads the process's own environment and never
// changes a [Config] that it has returned. A key that it does not know, or whose
// feature is not there, is refused and never passed over.
//
//	cfg, err := config.Load(config.Options{File: "gateway.yml", Environ: os.Environ()})
//	var faults config.Problems
//	if errors.As(err, &faults) {
//		for _, p := range faults { // all of them, by line
//			fmt.Fprintln(os.Stderr, p) // gateway.yml:12: services.users.tiemout: unknown key, did you mean timeout?
//		}
//	}
//
// # How the schema is written down
//
// The schema is the Go types below [Config]. A field's tags say all that can be
// said of one value alone:
//
//	key      its name in the file; a field without one is not read
//	short    a plain value in place of the map sets this field
//	off      this plain value switches the block off
//	one      the values allowed, separated by |
//	min, max the bounds, in the notation of the file
//	is       the form of a string, of a list's members or of a map's values; a file
//	         must be there, and a reload follows it, but for a live-file
//	keys     the form of a map's keys
//	inherit  the block starts from the one above it, and changes what it names
//	secret   never shown
//
// Lists and maps replace what stood there before, whole.
package config
