package config

// Variables returns the variables that override a key.
func Variables() []string {
	names := []string{}
	for _, s := range settings() {
		names = append(names, s.variable())
	}
	return names
}
