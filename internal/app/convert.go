package app

import (
	"outrider/discovery"
	"outrider/internal/config"
	"outrider/outbound"
	"outrider/outbound/balance"
)

// What the configuration says, as the packages that act by it want it.

func healthCheck(c *config.HealthCheck) *discovery.Check {
	if c == nil {
		return nil
	}
	check := &discovery.Check{Path: c.Path, Interval: c.Interval, Timeout: c.Timeout, Healthy: c.Healthy, Unhealthy: c.Unhealthy}
	for _, r := range c.Expect {
		check.Expect = append(check.Expect, discovery.StatusRange{From: r.From, To: r.To})
	}
	return check
}

func retry(c config.Retries) outbound.Retry {
	return outbound.Retry{
		Attempts: c.Attempts,
		On:       c.On,
		Base:     c.Base,
		Max:      c.Max,
		Budget:   outbound.Budget{Percent: c.Budget.Percent, Min: c.Budget.Min},
	}
}

func outlier(c *config.Outlier) balance.Outlier {
	if c == nil {
		return balance.Outlier{}
	}
	return balance.Outlier{
		ConsecutiveFailures: c.ConsecutiveFailures,
		BaseEjection:        c.BaseEjection,
		MaxEjectedPercent:   c.MaxEjectedPercent,
	}
}

func breaker(c *config.Breaker) *balance.Breaker {
	if c == nil {
		return nil
	}
	return &balance.Breaker{
		FailureThreshold: c.FailureThreshold,
		RecoveryTimeout:  c.RecoveryTimeout,
		SuccessThreshold: c.SuccessThreshold,
	}
}
