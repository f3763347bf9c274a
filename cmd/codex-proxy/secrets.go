package main

// secretsCommands are the commands about secrets in what is sent.
type secretsCommands struct {
	List  secretsListCommand  `cmd:"" help:"List the secrets that requests carried, each once: who sent it, when, whether it left."`
	Show  secretsShowCommand  `cmd:"" help:"Show one secret: who sent it, when, where it is on record, whether it left."`
	Mark  secretsMarkCommand  `cmd:"" help:"Mark a secret as rotated, or as a false positive, which allows it from then on."`
	Rules secretsRulesCommand `cmd:"" help:"List the rules: how certain each is, and what becomes of what it finds."`
	Scan  secretsScanCommand  `cmd:"" help:"Find secrets in files, folders or standard input. Exits 1 when there are any."`

	Audit secretsAuditCommand `cmd:"" help:"Find secrets that stand on record by today's rules, and purge them. Exits 1 when there are any."`
}
