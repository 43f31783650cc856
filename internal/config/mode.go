package config

// Mode says which command the configuration is for.
type Mode int

// The modes. The zero Mode is Ingress.
const (
	Ingress Mode = iota // the gateway
	Run                 // a sidecar beside one service
	Auto                // Run where one of service, inbound and outbound is set, else Ingress; never the Mode of a Config
)

// String returns the command's name.
func (m Mode) String() string {
	switch m {
	case Run:
		return "run"
	case Auto:
		return "auto"
	default:
		return "ingress"
	}
}

// settle decides the mode, and fills in the blocks that run has though nothing is
// said of them.
func (l *loader) settle() {
	c := l.cfg
	c.Mode = l.Mode
	if c.Mode == Auto {
		c.Mode = Ingress
		if c.Service != nil || c.Inbound != nil || c.Outbound != nil {
			c.Mode = Run
		}
	}
	if c.Mode != Run {
		return
	}
	c.Server = Server{} // shown or compared, it would promise a listener
	if c.Inbound == nil {
		c.Inbound = blankOf[Inbound]()
	}
	if c.Outbound == nil {
		c.Outbound = blankOf[Outbound]()
	}
}

// checkMode refuses what belongs to the other command. Without a command it would
// do nothing, and somebody might rely on it.
func (l *loader) checkMode() {
	if l.cfg.Mode == Run {
		l.foreign("server", Ingress)
		return
	}
	for _, path := range []string{"service", "inbound", "outbound"} {
		l.foreign(path, Run)
	}
	for _, name := range sorted(l.cfg.Services) {
		l.foreign(under(under("services", name), "listen"), Run)
	}
}

// foreign refuses the key at path, or the variables and flags that set keys below
// it.
func (l *loader) foreign(path string, owner Mode) {
	if l.has(path) {
		l.fault(path, "belongs to the command %s, and this is %s", owner, l.cfg.Mode)
	}
	for _, set := range sorted(l.origins) {
		if below(path, set) {
			l.fault(set, "belongs to the command %s, and this is %s", owner, l.cfg.Mode)
		}
	}
}
