package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"outrider/internal/app"
	"outrider/internal/config"
)

func newRun() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run --config FILE [-- COMMAND [ARG…]]",
		Short: "Run a sidecar beside one service",
		Long: "Run a sidecar beside one service: it guards the service's app and carries the app's calls.\n\n" +
			"A command after -- is the app: it is started when the sidecar is ready, gets the signals\n" +
			"that the sidecar gets (SIGHUP aside, which reloads the configuration), and its exit ends the\n" +
			"sidecar, with its exit code. SIGTERM first lets callers leave and the app's last requests\n" +
			"end; then the app is told to stop.",
		RunE: func(cmd *cobra.Command, args []string) error {
			command, err := behindDash(cmd, args)
			if err != nil {
				return err
			}
			return runSidecar(cmd.Context(), file, cmd.Flags(), command)
		},
	}
	configFlags(cmd, &file, "service.name", "service.app", "inbound.listen", "outbound.listen")
	return cmd
}

// behindDash returns the words after --. Stray words before it are a usage error.
func behindDash(cmd *cobra.Command, args []string) ([]string, error) {
	dash := cmd.ArgsLenAtDash()
	if dash < 0 {
		return nil, noArgs(cmd, args)
	}
	if err := noArgs(cmd, args[:dash]); err != nil {
		return nil, err
	}
	if len(args) == dash {
		return nil, usageError{errors.New("there is no command behind --: leave -- out, or name the app's command")}
	}
	return args[dash:], nil
}

func runSidecar(ctx context.Context, file string, flags *pflag.FlagSet, command []string) error {
	from := config.Options{File: file, Mode: config.Run, Environ: os.Environ(), Flags: flags}
	if command == nil {
		return runProxy(ctx, from, nil)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	child := newChild(command, cancel)
	defer child.passSignals()()
	err := runProxy(ctx, from, func(o *app.Options) {
		o.Ready = child.start
		o.Guarded = child.stop
	})
	return errors.Join(err, child.result())
}
