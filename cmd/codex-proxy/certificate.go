package main

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// certificateFiles is a certificate that may be renewed in its files while the
// proxy runs.
type certificateFiles struct {
	cert, key string

	mu       sync.Mutex
	loaded   *tls.Certificate
	modified time.Time
	checked  time.Time
}

// get implements tls.Config.GetCertificate. It looks at the files at most once
// a second, and keeps the certificate from before when they cannot be read.
func (c *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded != nil && time.Since(c.checked) < time.Second {
		return c.loaded, nil
	}
	certificate, err := c.read()
	if err != nil && c.loaded != nil {
		return c.loaded, nil
	}
	return certificate, err
}

// load reads the files for the first time.
func (c *certificateFiles) load() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

func (c *certificateFiles) read() (*tls.Certificate, error) {
	c.checked = time.Now()
	info, err := os.Stat(c.cert)
	if err != nil {
		return nil, err
	}
	if c.loaded != nil && info.ModTime().Equal(c.modified) {
		return c.loaded, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, err
	}
	c.loaded, c.modified = &certificate, info.ModTime()
	return c.loaded, nil
}
