package main

import (
	"fmt"

	"codex-proxy/internal/secrets"
	"github.com/zricethezav/gitleaks/v8/detect"
)

// detector finds the secrets in the bodies of one conversation after another.
type detector interface {
	// session begins a conversation and returns what looks into one body of it.
	session() func(body []byte)
}

func newDetector(name string) (detector, error) {
	switch name {
	case "codex-proxy":
		scanner, err := secrets.New(secrets.Config{Key: secrets.NewKey()})
		return proxy{scanner}, err
	case "gitleaks":
		detector, err := detect.NewDetectorDefaultConfig()
		return gitleaks{detector}, err
	}
	return nil, fmt.Errorf("there is no detector %q: choose codex-proxy or gitleaks", name)
}

// proxy does all that an exchange needs: it reads the JSON, finds, and replaces.
type proxy struct{ scanner *secrets.Scanner }

func (p proxy) session() func([]byte) {
	cache := secrets.NewCache(10000)
	return func(body []byte) {
		// As over HTTP: a vault for each request, the cache for all.
		if _, err := secrets.NewVault(p.scanner, cache, secrets.DefaultPolicy).Redact(body); err != nil {
			panic(fmt.Sprintf("the benchmark's own body: %v", err))
		}
	}
}

// gitleaks finds in the bytes as they are.
type gitleaks struct{ detector *detect.Detector }

func (g gitleaks) session() func([]byte) {
	return func(body []byte) { g.detector.DetectString(string(body)) }
}
