package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"outrider/internal/inject"
)

func newInject() *cobra.Command {
	var o inject.Options
	native := true
	cmd := &cobra.Command{
		Use:   "inject FILE|-",
		Short: "Add the sidecar to Kubernetes manifests or a compose file",
		Long: `Add the sidecar to the workloads of a Kubernetes manifest or to the services of a
compose file, and write the whole file to standard output. What is no workload stays
as it is, with its comments and order; injecting twice is injecting once; injecting
with other flags brings the sidecar up to date, all but its resources.

Kubernetes: Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers
and Pods. Jobs and CronJobs serve nobody and get none. Annotations of the pod template:
  outrider/inject: "false"       leave it alone
  outrider/service: NAME         its name in Consul; else label app, app.kubernetes.io/name, or its name
  outrider/app-port: "8080"      where the app listens; else the first containerPort
  outrider/http-proxy: "true"    HTTP_PROXY of the app's containers is the sidecar
  outrider/image, outrider/config-map, outrider/consul, outrider/token-secret
                                 in place of the flags

The sidecar is a native one, an init container that restarts: it starts before the app
and stops after it. Clusters before 1.30 need --native=false; there the app's last calls
may find no sidecar.

Compose: services with a label outrider.service: NAME or outrider.inject: "true", or
all but those with outrider.inject: "false" under --all; outrider.app-port as above.`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Plain = !native
			return runInject(cmd, args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Image, "image", "outrider:latest", "the sidecar's image")
	f.StringVar(&o.Consul, "consul", "", "the Consul agent's host:port (default the node's own, port 8500; compose: consul:8500)")
	f.StringVar(&o.ConfigMap, "config-map", "outrider-sidecar", "Kubernetes: the ConfigMap that has sidecar.yml")
	f.StringVar(&o.TokenSecret, "token-secret", "", "Kubernetes: the Secret whose key token is the token for Consul")
	f.BoolVar(&native, "native", true, "Kubernetes: a native sidecar; false: a container among the others")
	f.StringVar(&o.Config, "config", "./sidecar.yml", "compose: the configuration that sidecars mount")
	f.BoolVar(&o.All, "all", false, "compose: every service, labelled or not")
	return cmd
}

// oneFile wants one argument, as a usage error.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes one file, or - for standard input, and got %d (see %[1]s --help)", cmd.CommandPath(), len(args))}
	}
	return nil
}

func runInject(cmd *cobra.Command, name string, o inject.Options) error {
	text, err := readManifest(cmd.InOrStdin(), name)
	if err != nil {
		return usageError{err}
	}
	if name != "-" {
		o.File = name
	}
	result, err := inject.Inject(text, o)
	if err != nil {
		return usageError{err}
	}
	for _, n := range result.Notes {
		fmt.Fprintln(cmd.ErrOrStderr(), n.String()+" (note)")
	}
	if _, err := cmd.OutOrStdout().Write(result.Text); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// readManifest reads a file or, for -, standard input: at most one byte more than
// inject takes.
func readManifest(stdin io.Reader, name string) ([]byte, error) {
	from := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, unreadable(name, err)
		}
		defer f.Close()
		from = f
	}
	text, err := io.ReadAll(io.LimitReader(from, inject.MaxBytes+1))
	if err != nil {
		return nil, unreadable(name, err)
	}
	return text, nil
}

// unreadable says why a file cannot be read, without naming it twice.
func unreadable(name string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("%s: cannot be read: %w", name, err)
}
