package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
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
	configFlags(cmd, &file)
	return cmd
}

// configFlags adds --config and the flags that override the file.
func configFlags(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "the configuration file")
	for _, f := range []struct{ name, key string }{
		{"server-host", "server.host"}, {"server-port", "server.port"},
		{"admin-listen", "admin.listen"}, {"probe-listen", "probe.listen"},
		{"logging-level", "logging.level"},
	} {
		cmd.Flags().String(f.name, "", "overrides "+f.key)
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
	load := func() (*config.Config, error) {
		return config.Load(config.Options{File: file, Mode: config.Ingress, Environ: os.Environ(), Flags: flags})
	}
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
	ingress := app.NewIngress(app.Options{
		Load:    load,
		Version: version,
		Log:     logger,
		Level:   level,
		Access:  os.Stdout,
		Hangup:  hangups(ctx),
	})
	return ingress.Run(ctx, first)
}

// takeStandardLog sends to logger what libraries write to the standard log: net/http
// quotes endpoints there, and a line of theirs must not pass for one of ours.
func takeStandardLog(logger *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(logger.Handler(), slog.LevelDebug).Writer())
}

// hangups says when SIGHUP asks for a reload.
func hangups(ctx context.Context) <-chan os.Signal {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { signal.Stop(hup) })
	return hup
}
