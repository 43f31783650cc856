package main

import "testing"

func TestWhereTheAdminPortIsAsked(t *testing.T) {
	for _, tt := range []struct{ name, flag, variable, want string }{
		{"nothing said", "", "", defaultAdmin},
		{"by the environment", "", "127.0.0.2:1", "127.0.0.2:1"},
		{"the flag comes first", "127.0.0.3:1", "127.0.0.2:1", "127.0.0.3:1"},
		{"every address", "", "0.0.0.0:15000", "127.0.0.1:15000"},
		{"every address of IPv6", "[::]:15000", "", "127.0.0.1:15000"},
		{"no address", ":15000", "", "127.0.0.1:15000"},
		{"a name", "localhost:15000", "", "localhost:15000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("OUTRIDER_ADMIN_LISTEN", tt.variable)
			if got := (&adminPort{at: tt.flag}).address(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
