package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"outrider/internal/app"
	"outrider/internal/config"
)

func newIngress() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "ingress --config FILE",
		Short: "Run the gateway",
		Long: "Run the gateway. The configuration is read again when its file changes, and at SIGHUP;\n" +
			"an invalid one is refused and the old one stays. SIGTERM drains and stops.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needsFile(cmd, file); err != nil {
				return err
			}
			return runIngress(cmd.Context(), file, cmd.Flags())
		},
	}
	configFlags(cmd, &file, "server.host", "server.port")
	return cmd
}

// configFlags adds --config and the flags that override the file.
func configFlags(cmd *cobra.Command, file *string, keys ...string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "the configuration file")
	for _, key := range append(keys, "admin.listen", "probe.listen", "logging.level") {
		cmd.Flags().String(strings.NewReplacer(".", "-", "_", "-").Replace(key), "", "overrides "+key)
	}
}

// needsFile refuses a command line without --config, as a usage error.
func needsFile(cmd *cobra.Command, file string) error {
	if file == "" {
		return usageError{fmt.Errorf("--config is missing: it names the configuration file (see %s --help)", cmd.CommandPath())}
	}
	return nil
}

func runIngress(ctx context.Context, file string, flags *pflag.FlagSet) error {
	return runProxy(ctx, config.Options{File: file, Mode: config.Ingress, Environ: os.Environ(), Flags: flags}, nil)
}

// runProxy runs the proxy of a configuration until ctx ends. Edit changes what it is
// started with; nil changes nothing.
func runProxy(ctx context.Context, from config.Options, edit func(*app.Options)) error {
	load := func() (*config.Config, error) { return config.Load(from) }
	first, err := load()
	if err == nil {
		err = app.Check(first)
	}
	if err != nil {
		return usageError{err}
	}
	level := new(slog.LevelVar)
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	takeStandardLog(logger)
	defer outliveReaders()()
	defer startResting(ctx)()
	o := app.Options{
		Load:    load,
		Version: version,
		Log:     logger,
		Level:   level,
		Access:  os.Stdout,
		Hangup:  hangups(ctx),
	}
	if edit != nil {
		edit(&o)
	}
	return app.New(o).Run(ctx, first)
}

// takeStandardLog sends to logger what libraries write to the standard log: net/http
// quotes endpoints there, and a line of theirs must not pass for one of ours.
func takeStandardLog(logger *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(logger.Handler(), slog.LevelDebug).Writer())
}

// outliveReaders has a write to a pipe that nobody reads fail and not end the process:
// whoever takes off the access log may be restarted. What it returns undoes that.
//
// The signal is caught and not ignored: a child would inherit that.
func outliveReaders() (stop func()) {
	broken := make(chan os.Signal, 1) // nobody reads it: the write's error says as much
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// hangups says when SIGHUP asks for a reload.
func hangups(ctx context.Context) <-chan os.Signal {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { signal.Stop(hup) })
	return hup
}
