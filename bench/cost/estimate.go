package main

// What is assumed of an exchange and of an installation. Sizes are in GB (10^9
// bytes), as AWS bills them.
const (
	hours = 730 // of a month

	// Codex sends the whole conversation with every turn: 55 KB at first, measured,
	// and more with each turn.
	requestGB = 200e3 / 1e9
	// Of events: a text's pieces weigh many times the text.
	answerGB = 40e3 / 1e9
	// compressed is how many times smaller a record is than what it holds, measured
	// with single records.
	compressed = 3.3
	recordGB   = (requestGB + answerGB) / compressed
	// keptMonths is RecordDays, 90.
	keptMonths = 3

	memoryGB = 256.0 / 1024
	// besides is what an invocation lasts longer than the answer: reading the token,
	// and writing the record and the ledger, in seconds.
	besides = 0.3

	// Of one exchange. The ledger takes 5 and 8 (internal/dynamodb), the token and
	// its team 2 reads, a budget 2 reads, the token's last use 1 write.
	writes = 6
	reads  = 12
	// A row and its share of the sums and indexes, and how long rows are there.
	rowGB     = 2e3 / 1e9
	rowMonths = 12
	// An opening object and the record.
	puts = 2
	// One of ten invocations reads the key: at the start, and when 5 minutes are over.
	keyReads = 0.1
	// Lambda's own three lines and the proxy's.
	logGB = 1.5e3 / 1e9
)

// line is one line of a bill, in USD a month.
type line struct {
	service string
	usd     float64
}

// total adds a bill up.
func total(bill []line) (usd float64) {
	for _, l := range bill {
		usd += l.usd
	}
	return usd
}

// stores is what every form on DynamoDB and S3 pays for n exchanges a month.
func stores(n float64) []line {
	rows := n * rowGB * rowMonths
	return []line{
		{"DynamoDB", n*(writes*dynamoWrites.usd+reads*dynamoReads.usd) + rows*(dynamoStorage.usd+dynamoBackup.usd)},
		{"S3", n*puts*s3Puts.usd + n*recordGB*keptMonths*s3Storage.usd},
		{"Secrets Manager", secret.usd + n*keyReads*secretCalls.usd},
		{"CloudWatch", n*logGB*logs.usd + 4*alarms.usd + 2*metrics.usd},
		traffic(n),
	}
}

// traffic is what leaves AWS, to OpenAI and to the developers.
func traffic(n float64) line { return line{"data out", n * (requestGB + answerGB) * dataOut.usd} }

// onLambda is the bill of n exchanges a month whose answers take so many seconds.
func onLambda(n, seconds float64) []line {
	return append([]line{{"Lambda", n * (memoryGB*(seconds+besides)*lambdaTime.usd + lambdaRequests.usd)}}, stores(n)...)
}

// onMachine is the bill of one t4g.small with SQLite and the archive on its disk.
func onMachine(n float64) []line {
	const systemGB = 10
	return []line{
		{"t4g.small", hours * instance.usd},
		{"disk", (systemGB + n*(recordGB*keptMonths+rowGB*rowMonths)) * disk.usd},
		{"IPv4", hours * address.usd},
		traffic(n),
	}
}

// onFargate is the bill of two tasks of 0.25 vCPU and 0.5 GB behind a load balancer,
// on DynamoDB and S3.
func onFargate(n float64) []line {
	const tasks, zones = 2, 2
	units := n * 2 * (requestGB + answerGB) / hours // LCUs by the GB that pass in an hour
	return append([]line{
		{"Fargate", tasks * hours * (0.25*fargateCPU.usd + 0.5*fargateMemory.usd)},
		{"load balancer", hours * (balancer.usd + units*balancerUnit.usd)},
		{"IPv4", (tasks + zones) * hours * address.usd},
	}, stores(n)...)
}

// evenAt is how many exchanges a month cost the same on Lambda as on another form;
// all bills are straight lines.
func evenAt(seconds float64, other func(n float64) []line) float64 {
	base := total(other(0)) - total(onLambda(0, seconds))
	const sample = 1e6
	slope := (total(onLambda(sample, seconds)) - total(onLambda(0, seconds)) - total(other(sample)) + total(other(0))) / sample
	return base / slope
}
