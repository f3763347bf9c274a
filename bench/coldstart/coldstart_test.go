// Package coldstart measures how long the program takes, as a function of Lambda,
// until it asks for its first invocation:
//
//	go test ./bench/coldstart -run '^$' -bench .
package coldstart

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/lambda/lambdatest"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/standin"
)

// BenchmarkInit is all that a cold start has of the program's own: the process, its
// packages, the rules for secrets, the price book, and what is read from the stores,
// which are stand-ins on this machine. What AWS adds (the sandbox, the network) is
// not in it.
func BenchmarkInit(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "bootstrap")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "../../cmd/codex-proxy").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	tables, bucket, secrets := standin.DynamoDB(b), standin.S3(b, "archive"), standin.SecretsManager(b)
	secrets.Set("openai-key", "sk-of-the-benchmark")
	api := dynamodb.Connect(standin.Config(tables))
	for _, err := range []error{
		dynamodb.CreateTable(b.Context(), api, dynamodb.TokensTable(dynamodb.DefaultTokensTable)),
		dynamodb.CreateTable(b.Context(), api, dynamodb.UsageTable(dynamodb.DefaultUsageTable)),
	} {
		if err != nil {
			b.Fatal(err)
		}
	}
	openai := simulated.New(simulated.Options{})
	upstream := httptest.NewServer(openai)
	b.Cleanup(func() { openai.Close(); upstream.Close() })
	environment := os.Environ()
	for name, value := range standin.Environment(map[string]string{"DYNAMODB": tables, "S3": bucket, "SECRETS_MANAGER": secrets.Address}) {
		environment = append(environment, name+"="+value)
	}
	environment = append(environment, "CODEX_PROXY_STORE=dynamodb", "CODEX_PROXY_ARCHIVE=s3://archive", "CODEX_PROXY_KEY_SECRET=openai-key",
		"CODEX_PROXY_UPSTREAM="+upstream.URL+"/v1", "CODEX_PROXY_LOG_LEVEL=warn")

	var inits time.Duration
	for b.Loop() {
		front := lambdatest.New()
		process := exec.Command(binary)
		process.Dir = b.TempDir()
		process.Env = append(environment, "AWS_LAMBDA_RUNTIME_API="+front.API(), "CODEX_PROXY_DATA="+b.TempDir())
		process.Stderr = os.Stderr
		began := time.Now()
		if err := process.Start(); err != nil {
			b.Fatal(err)
		}
		select {
		case <-front.Asked():
		case <-time.After(30 * time.Second):
			b.Fatal("the function does not start")
		}
		inits += time.Since(began)
		_ = process.Process.Kill()
		_ = process.Wait()
		front.Close()
	}
	b.ReportMetric(float64(inits.Microseconds())/1000/float64(b.N), "ms/init")
	if info, err := os.Stat(binary); err == nil {
		b.ReportMetric(float64(info.Size())/1e6, "MB/binary")
	}
}
