package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"

	template "codex-proxy/deploy/aws"
	"codex-proxy/internal/awsdeploy"
	"codex-proxy/internal/upstream"
)

// awsDeployCommand makes an installation or changes one.
type awsDeployCommand struct {
	awsSettings
	Bootstrap string            `help:"Program of the function: a codex-proxy for linux/arm64 (as in the release), or a zip with it as 'bootstrap'. In the source tree it is built." env:"-" placeholder:"FILE"`
	Settings  string            `help:"Settings file (TOML) of the function, such as with rules for secrets, prices and sign-in. It goes with the program, so that another file is another version. Without it, those that the function has stay." env:"-" placeholder:"FILE"`
	KeyFile   string            `help:"File that holds OpenAI's key. By default the key is taken from OPENAI_API_KEY, else from the secret that is there already, else asked for." env:"-" placeholder:"FILE"`
	KeySecret string            `help:"Secret that holds the key, by name or ARN, if not NAME/openai-key." placeholder:"SECRET"`
	Set       map[string]string `help:"Set a parameter of the template, such as MemorySize=512. What is not set stays as it is." env:"-" mapsep:"none" placeholder:"PARAMETER=VALUE"`
	DryRun    bool              `help:"Print what would be done, and do nothing." env:"-"`
}

// Help is the long form of the command's help.
func (*awsDeployCommand) Help() string {
	var help strings.Builder
	help.WriteString("Stores the key in Secrets Manager, uploads the function's program, and creates or updates one CloudFormation stack. Parameters for --set:\n")
	own := awsdeploy.CodeParameters
	for _, p := range template.Parameters() {
		if !slices.Contains(own, p.Name) && p.Name != "Name" {
			fmt.Fprintf(&help, "\n%s (%s): %s", p.Name, orNone(p.Default), p.Description)
		}
	}
	return help.String()
}

func orNone(value string) string {
	if value == "" {
		return "empty"
	}
	return value
}

func (cmd *awsDeployCommand) Run(c *console) error {
	if err := cmd.check(); err != nil {
		return err
	}
	key, err := cmd.key()
	if err != nil {
		return err
	}
	cloud, err := cmd.connect(c)
	if err != nil {
		if cmd.DryRun {
			fmt.Fprintf(c.stderr, "codex-proxy: %v\n", err)
			return cmd.printPlan(c, nil)
		}
		return err
	}
	if cmd.DryRun {
		return cmd.dryRun(c, cloud)
	}
	code, err := cmd.code(c, cloud)
	if err != nil {
		return err
	}
	arn, err := cmd.storeKey(c, cloud, key)
	if err != nil {
		return err
	}
	if err := cloud.Upload(c.ctx, cmd.Name, code); err != nil {
		return err
	}
	parameters := cloud.Account.Parameters(cmd.Name, code, arn)
	maps.Copy(parameters, cmd.Set)
	plan, err := cloud.Plan(c.ctx, cmd.Name, parameters)
	if err != nil {
		return err
	}
	outputs, err := plan.Execute(c.ctx)
	if err != nil {
		return err
	}
	return cmd.printDone(c, plan, outputs)
}

// check refuses what no account would accept before anything is done.
func (cmd *awsDeployCommand) check() error {
	if err := awsdeploy.CheckName(cmd.Name); err != nil {
		return misuse("%v", err)
	}
	if err := awsdeploy.CheckParameters(cmd.Set); err != nil {
		return misuse("%v", err)
	}
	for _, name := range append(awsdeploy.CodeParameters, "Name") {
		if _, set := cmd.Set[name]; set {
			return misuse("%s is set by the deployment itself (--name, --bootstrap, --key-secret)", name)
		}
	}
	if cmd.Settings != "" {
		if _, err := checkedSettings(cmd.Settings); err != nil {
			return err
		}
	}
	return nil
}

// key is OpenAI's key if one is given; nil where none is.
func (cmd *awsDeployCommand) key() (awsdeploy.Key, error) {
	text := os.Getenv("OPENAI_API_KEY")
	_ = os.Unsetenv("OPENAI_API_KEY") // no child process inherits it
	if cmd.KeyFile != "" {
		var err error
		if text, err = readKeyFile(cmd.KeyFile); err != nil {
			return nil, err
		}
	} else if text == "" {
		return nil, nil
	}
	key, err := upstream.NewKey(text)
	if err != nil {
		return nil, misuse("OpenAI's key is none: %v", err)
	}
	return key, nil
}

// keySecret is the secret that holds the key.
func (cmd *awsDeployCommand) keySecret() string {
	if cmd.KeySecret != "" {
		return cmd.KeySecret
	}
	return awsdeploy.KeySecret(cmd.Name)
}

// storeKey stores the key, or finds the one that is stored, or asks for one.
func (cmd *awsDeployCommand) storeKey(c *console, cloud *awsdeploy.Cloud, key awsdeploy.Key) (arn string, err error) {
	id := cmd.keySecret()
	if key == nil {
		secret, found, err := cloud.FindSecret(c.ctx, id)
		if err != nil {
			return "", err
		}
		if found {
			return cloud.UseSecret(c.ctx, id, secret)
		}
		if key, err = askKey(c, id); err != nil {
			return "", err
		}
	}
	return cloud.StoreKey(c.ctx, id, key)
}

// askKey asks for the key on a terminal that shows nothing of it.
func askKey(c *console, id string) (awsdeploy.Key, error) {
	input, ok := c.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(input.Fd())) {
		return nil, misuse("the secret %s is not there, and there is no terminal to ask for OpenAI's key: set OPENAI_API_KEY, or name a file with --key-file", id)
	}
	fmt.Fprint(c.stderr, "OpenAI's key (it is not shown, and stored in Secrets Manager): ")
	typed, err := readHidden(c.ctx, input)
	fmt.Fprintln(c.stderr)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	key, err := upstream.NewKey(typed)
	if err != nil {
		return nil, misuse("that is no key: %v", err)
	}
	return key, nil
}

// code is the function's program: the one named, else one that is built.
func (cmd *awsDeployCommand) code(c *console, cloud *awsdeploy.Cloud) (awsdeploy.Code, error) {
	var settings []byte
	var err error
	if cmd.Settings != "" {
		settings, err = checkedSettings(cmd.Settings)
	} else {
		settings, err = cloud.Settings(c.ctx, cmd.Name) // which stay
	}
	if err != nil {
		return awsdeploy.Code{}, err
	}
	if cmd.Bootstrap != "" {
		code, err := awsdeploy.ReadCode(cmd.Bootstrap, settings)
		if cmd.Settings == "" && errors.Is(err, awsdeploy.ErrZip) {
			return awsdeploy.ReadCode(cmd.Bootstrap, nil)
		}
		return code, err
	}
	directory, err := os.Getwd()
	if err != nil {
		return awsdeploy.Code{}, err
	}
	root, found := awsdeploy.FindSource(directory)
	if !found {
		return awsdeploy.Code{}, misuse("which program is the function? Unpack the release's linux_arm64 archive (version %s, as this one) and name its codex-proxy with --bootstrap FILE; in the source tree it is built by itself", version)
	}
	fmt.Fprintf(c.stderr, "Building the function's program from %s.\n", root)
	return awsdeploy.Build(c.ctx, root, version, settings, c.stderr)
}

// checkedSettings reads a settings file that a function will have, as the function
// will, so that a mistake shows here.
func checkedSettings(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the settings of the function: %w", err)
	}
	var discarded strings.Builder
	if run(context.Background(), []string{"secrets", "rules", "--config", path, "--store", "sqlite", "--data", filepath.Join(os.TempDir(), "codex-proxy-no-data")}, strings.NewReader(""), &discarded, &discarded) != exitDone {
		return nil, misuse("the settings of the function cannot be used: %s", strings.TrimSpace(discarded.String()))
	}
	return content, nil
}

// dryRun says what a deployment would change.
func (cmd *awsDeployCommand) dryRun(c *console, cloud *awsdeploy.Cloud) error {
	exists, err := cloud.Exists(c.ctx, cmd.Name)
	if err != nil {
		return err
	}
	if !exists {
		return cmd.printPlan(c, cloud)
	}
	parameters := maps.Clone(cmd.Set)
	if cmd.Bootstrap != "" {
		code, err := cmd.code(c, cloud)
		if err != nil {
			return err
		}
		parameters = cloud.Account.Parameters(cmd.Name, code, "")
		maps.Copy(parameters, cmd.Set)
	}
	plan, err := cloud.Plan(c.ctx, cmd.Name, parameters)
	if err != nil {
		return err
	}
	if len(plan.Changes) == 0 {
		_, err := fmt.Fprintln(c.stdout, "Nothing would change.")
		return err
	}
	if err := plan.Discard(c.ctx); err != nil {
		return err
	}
	for _, change := range plan.Changes {
		again := ""
		if change.Replaced {
			again = ", made anew"
		}
		fmt.Fprintf(c.stdout, "%-8s%s (%s)%s\n", change.Action, change.Resource, change.Type, again)
	}
	_, err = fmt.Fprintln(c.stdout, "Nothing was changed.")
	return err
}

// printPlan prints what a first deployment makes; where it is known, in which
// account.
func (cmd *awsDeployCommand) printPlan(c *console, cloud *awsdeploy.Cloud) error {
	account := awsdeploy.Account{ID: "ACCOUNT", Region: "REGION"}
	if cmd.Region != "" {
		account.Region = cmd.Region
	}
	if cloud != nil {
		account = cloud.Account
	}
	fmt.Fprintf(c.stdout, `A deployment would
  store OpenAI's key in the secret %s
  upload the function's program to the bucket %s
  make the stack %s in the account %s, region %s, with

`, cmd.keySecret(), account.CodeBucket(cmd.Name), cmd.Name, account.ID, account.Region)
	for _, r := range template.Resources() {
		optional := ""
		if r.Optional {
			optional = " (if its parameters are set)"
		}
		fmt.Fprintf(c.stdout, "  %-18s%s%s\n", r.Name, r.Type, optional)
	}
	fmt.Fprintln(c.stdout, "\nand the parameters")
	for _, p := range template.Parameters() {
		value, isSet := cmd.Set[p.Name]
		switch {
		case p.Name == "Name":
			value = cmd.Name
		case slices.Contains(awsdeploy.CodeParameters, p.Name):
			value = "(known when it is done)"
		case !isSet:
			value = p.Default
		}
		fmt.Fprintf(c.stdout, "  %-24s%s\n", p.Name, value)
	}
	_, err := fmt.Fprintln(c.stdout, "\nNothing was changed.")
	return err
}

// printDone says where the proxy is now, and what comes next.
func (cmd *awsDeployCommand) printDone(c *console, plan *awsdeploy.Plan, outputs map[string]string) error {
	done := "is up to date"
	switch {
	case plan.New:
		done = "is made"
	case len(plan.Changes) == 0:
		done = "is as it was: no changes"
	}
	address := strings.TrimSuffix(outputs["Url"], "/")
	_, err := fmt.Fprintf(c.stdout, "The installation %s %s.\n%s\n", cmd.Name, done, address)
	if err != nil || !plan.New {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, `
Next:
  codex-proxy aws smoke %[1]s
  export CODEX_PROXY_STORE=dynamodb CODEX_PROXY_TABLE_PREFIX=%[2]s CODEX_PROXY_ARCHIVE=%[3]s AWS_REGION=%[4]s
  codex-proxy developer add alice@example.com
  curl -fsSL %[1]s/setup.sh | sh        # on the developer's machine
`, address, cmd.Name, outputs["Archive"], plan.Region())
	return err
}
