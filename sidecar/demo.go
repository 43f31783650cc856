package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"outrider/discovery"
	"outrider/examples"
	"outrider/internal/app"
	"outrider/internal/config"
)

func newDemo() *cobra.Command {
	var printConfig bool
	var consul string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run example services, their sidecars and the gateway in one process",
		Long: "Run two instances each of three example services, a sidecar beside every instance, and the\n" +
			"gateway before them, in one process, until Ctrl-C. Nothing else is needed: the registry is\n" +
			"in memory, unless --consul names an agent.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if printConfig {
				_, err := cmd.OutOrStdout().Write(examples.DemoConfig)
				return err
			}
			return runDemo(cmd.Context(), cmd.OutOrStdout(), consul)
		},
	}
	cmd.Flags().BoolVar(&printConfig, "print-config", false, "print the gateway's configuration and exit")
	cmd.Flags().StringVar(&consul, "consul", "", "host:port of a Consul agent, to be the registry")
	return cmd
}

// demo is what all its proxies have in common.
type demo struct {
	dir     string // of the configurations
	out     io.Writer
	environ []string
	level   *slog.LevelVar
	log     *slog.Logger
	shared  *discovery.Memory // nil: Consul

	instances []examples.Instance // which run already
	ingress   []byte              // the gateway's configuration

	tasks  sync.WaitGroup
	failed chan error
}

func runDemo(ctx context.Context, out io.Writer, consul string) error {
	dir, err := os.MkdirTemp("", "outrider-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder: the system will
	d := &demo{
		dir: dir, out: out, environ: os.Environ(), level: new(slog.LevelVar), failed: make(chan error, 1),
		instances: examples.DemoInstances(), ingress: examples.DemoConfig,
	}
	d.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: d.level}))
	takeStandardLog(d.log)
	if consul == "" {
		d.shared = new(discovery.Memory)
	} else {
		d.environ = append(d.environ, "OUTRIDER_CONSUL_ADDRESS="+consul)
	}
	stop, err := examples.StartDemo(context.WithoutCancel(ctx)) // they outlive the drain
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: is another demo running?", err)
	}
	if err != nil {
		return err
	}
	defer stop()
	return d.run(ctx)
}

// run runs the sidecars, and the gateway once they are ready, until ctx ends or one
// fails.
func (d *demo) run(ctx context.Context) error {
	// The gateway goes before the sidecars do.
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer d.tasks.Wait()
	defer stop()
	ready := make(chan struct{}, len(d.instances))
	for _, i := range d.instances {
		first, o, err := d.proxy(i.Service.Name, config.Run, i.SidecarConfig())
		if err != nil {
			return err
		}
		o.Ready = func() { ready <- struct{}{} }
		d.tasks.Go(func() { d.report(app.New(o).Run(beside, first)) })
	}
	for range d.instances {
		select {
		case <-ready:
		case err := <-d.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return d.gateway(ctx)
}

func (d *demo) gateway(ctx context.Context) error {
	first, o, err := d.proxy("gateway", config.Ingress, d.ingress)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	started := make(chan app.Addresses, 1)
	o.Hangup = hangups(ctx)
	o.Started = func(a app.Addresses) { started <- a }
	proxy := app.New(o)
	ended := make(chan error, 1)
	d.tasks.Go(func() { ended <- proxy.Run(ctx, first) })
	select {
	case where := <-started:
		if reachable(ctx, proxy) { // else the first line of the tour could fail
			printTour(d.out, d.dir, where, d.instances)
		}
	case err = <-ended:
		return err
	}
	select {
	case err = <-ended:
	case err = <-d.failed:
		cancel()
		err = errors.Join(err, <-ended)
	}
	if err == nil {
		fmt.Fprintln(d.out, "\nstopped")
	}
	return err
}

// reachable waits until every service of the proxy has a healthy endpoint, a few seconds
// at most, and reports false where ctx ended first.
func reachable(ctx context.Context, p *app.Proxy) bool {
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !p.Reachable() {
		select {
		case <-look.C:
		case <-within.Done():
			return ctx.Err() == nil
		}
	}
	return true
}

// report hands on that a sidecar failed; the first to do so is enough.
func (d *demo) report(err error) {
	if err == nil {
		return
	}
	select {
	case d.failed <- err:
	default:
	}
}

// proxy writes a configuration and reads it again.
func (d *demo) proxy(name string, mode config.Mode, text []byte) (*config.Config, app.Options, error) {
	file := filepath.Join(d.dir, name+".yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, app.Options{}, err
	}
	load := func() (*config.Config, error) {
		return config.Load(config.Options{File: file, Mode: mode, Environ: d.environ})
	}
	o := app.Options{Load: load, Version: version, Log: d.log, Access: d.out}
	if mode == config.Ingress {
		o.Level = d.level
	}
	if d.shared != nil {
		o.Registry = func(config.Consul) (app.Registry, error) { return app.Memory(d.shared), nil }
	}
	first, err := load()
	return first, o, err
}
