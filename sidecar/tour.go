package main

import (
	"fmt"
	"io"

	"outrider/examples"
	"outrider/internal/app"
)

// printTour says what runs where, and what is worth trying.
func printTour(out io.Writer, dir string, a app.Addresses, beside []examples.Instance) {
	fmt.Fprintf(out, `
Outrider's demo is running. Ctrl-C stops it.

  gateway   http://%[1]s
  admin     http://%[2]s   (status page, /services, /metrics, /config)
  config    %[3]s   (gateway.yml and each sidecar's: edit one, it takes effect at once)

  instance  app              sidecar: inbound  outbound         admin
`, a.Server, a.Admin, dir)
	for _, i := range beside {
		fmt.Fprintf(out, "  %-9s %-15s  %-16s  %-15s  %s\n", i.Service.Name, i.Addr, i.Inbound, i.Outbound, i.Admin)
	}
	fmt.Fprintf(out, `
Try, in another terminal:

  1. A call, through auth and balancing:
     curl -i -H 'Authorization: Bearer %[2]s' http://%[1]s/api/users

  2. The whole mesh: gateway, users' sidecar, users, its sidecar, orders' sidecar, orders; X-Seen-Via names the proxies:
     curl -i -H 'Authorization: Bearer %[2]s' http://%[1]s/api/users/42/orders

  3. Refused by auth:
     curl -i http://%[1]s/api/users

  4. Rate limited, at the third:
     for i in 1 2 3; do curl -i -X POST http://%[1]s/api/auth/login; done

  5. Kill an instance, and nobody notices:
     curl -s -X POST http://127.0.0.1:3002/quit; for i in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%%{http_code}\n' -H 'Authorization: Bearer %[2]s' http://%[1]s/api/users; done

  6. Fail until both endpoints' circuit breakers open:
     for i in $(seq 12); do curl -s -o /dev/null -w '%%{http_code} ' -H 'Authorization: Bearer %[2]s' http://%[1]s/api/orders/broken; done; echo

`, a.Server, examples.Token)
}
