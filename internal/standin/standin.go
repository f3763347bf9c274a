// Package standin runs, for tests, what stands in for AWS on this machine:
// dynalite for DynamoDB, versitygw for S3 (it checks signatures), and a small
// Secrets Manager of its own. Nothing in it reaches beyond the loopback
// interface. Tests that need one which is not installed are skipped, and say so;
// scripts/standins.sh installs them.
package standin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Account is the number of the account that owns everything.
const Account = "123456789012"

// startLimit bounds the wait for a stand-in to answer.
const startLimit = 30 * time.Second

// The region and the credentials that the stand-ins know; they mean nothing
// elsewhere. What stands in for S3 takes the access key for the account that owns a
// bucket, so it is the account's number.
const (
	region    = "eu-central-1"
	accessKey = Account
	secretKey = "standin-secret-key"
)

// Config is the configuration of a client of the stand-in at an address such as
// http://127.0.0.1:8000.
func Config(address string) aws.Config {
	return aws.Config{
		Region: region, Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		BaseEndpoint: aws.String(address),
		// Not http.DefaultClient, whose connections outlive the test.
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 5 * time.Second}},
	}
}

// Environment are the variables by which the AWS SDK of any process finds
// stand-ins, by the names of their services (DYNAMODB, S3, SECRETS_MANAGER).
func Environment(addresses map[string]string) map[string]string {
	variables := map[string]string{
		"AWS_REGION": region, "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey,
		// Nothing of this machine's own settings is used.
		"AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true",
	}
	for service, address := range addresses {
		variables["AWS_ENDPOINT_URL_"+service] = address
	}
	return variables
}

// WrongConfig is Config with credentials that no stand-in knows.
func WrongConfig(address string) aws.Config {
	config := Config(address)
	config.Credentials = credentials.NewStaticCredentialsProvider(accessKey, "another-secret-key", "")
	return config
}

// dynaliteProgram serves DynamoDB on a port of the system's choice, which it
// prints, for as long as its input is open.
const dynaliteProgram = `
const server = require('dynalite')({ createTableMs: 0, deleteTableMs: 0 })
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.on('end', () => process.exit()).resume()`

// DynamoDB starts an empty DynamoDB that lives as long as the test, and returns
// its address.
func DynamoDB(t testing.TB) string {
	t.Helper()
	directory := filepath.Join(root(t), "e2e")
	if _, err := os.Stat(filepath.Join(directory, "node_modules", "dynalite")); err != nil {
		t.Skip("dynalite is not installed (scripts/standins.sh does it): nothing stands in for DynamoDB")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: nothing stands in for DynamoDB")
	}
	command := exec.CommandContext(t.Context(), node, "-e", dynaliteProgram)
	command.Dir = directory
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	run(t, command)
	port, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("dynalite says no port: %v", err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

// versityProgram serves S3 for as long as its input is open.
const versityProgram = `"$0" --quiet --health /health --region "$1" --port "$2" posix "$3" & gateway=$!; cat >/dev/null; kill $gateway; wait $gateway`

// S3 starts an S3 with one empty bucket for each name, which lives as long as
// the test, and returns its address.
func S3(t testing.TB, buckets ...string) string {
	t.Helper()
	program := filepath.Join(root(t), ".tools", "versitygw")
	if _, err := os.Stat(program); err != nil {
		t.Skip("versitygw is not installed (scripts/standins.sh does it): nothing stands in for S3")
	}
	directory := t.TempDir()
	for _, bucket := range buckets {
		if err := os.Mkdir(filepath.Join(directory, bucket), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	address := freeAddress(t)
	command := exec.CommandContext(t.Context(), "sh", "-c", versityProgram, program, region, address, directory)
	command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey)
	run(t, command)
	waitFor(t, "http://"+address+"/health")
	return "http://" + address
}

// run starts a command that ends when its input does: at the end of the test,
// and also if the test's process is killed.
func run(t testing.TB, command *exec.Cmd) {
	t.Helper()
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	command.Stderr = &said
	command.Cancel = input.Close
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = command.Wait() // how it ends says nothing
		if t.Failed() && said.Len() > 0 {
			t.Logf("%s said:\n%s", filepath.Base(command.Path), said.String())
		}
	})
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// waitFor waits until something answers at a URL.
func waitFor(t testing.TB, url string) {
	t.Helper()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(startLimit); ; {
		answer, err := client.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the stand-in does not answer: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// root is the directory of the repository.
func root(t testing.TB) string {
	t.Helper()
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return directory
		}
		parent := filepath.Dir(directory)
		if parent == directory {
			t.Fatal("the test does not run inside the repository")
		}
		directory = parent
	}
}
