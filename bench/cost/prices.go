package main

// asOf is when the prices were put together.
const asOf = "November 2026"

// price is one of AWS's list prices in us-east-1 (N. Virginia), in USD.
type price struct {
	what string
	usd  float64
	unit string
	// page is where AWS publishes it.
	page string
	// read is where the number itself was read again for this table; empty where it
	// is the price as it has been known.
	read string
}

var (
	lambdaTime     = price{"Lambda, arm64", 0.0000133334, "GB-second", "aws.amazon.com/lambda/pricing", "cloudchipr.com/blog/aws-lambda-pricing"}
	lambdaRequests = price{"Lambda, requests", 0.20 / 1e6, "request", "aws.amazon.com/lambda/pricing", ""}

	dynamoWrites  = price{"DynamoDB on demand, writes", 0.625 / 1e6, "write unit", "aws.amazon.com/dynamodb/pricing/on-demand", ""}
	dynamoReads   = price{"DynamoDB on demand, reads", 0.125 / 1e6, "read unit", "aws.amazon.com/dynamodb/pricing/on-demand", ""}
	dynamoStorage = price{"DynamoDB, storage", 0.25, "GB-month", "aws.amazon.com/dynamodb/pricing/on-demand", ""}
	dynamoBackup  = price{"DynamoDB, point-in-time recovery", 0.20, "GB-month", "aws.amazon.com/dynamodb/pricing/on-demand", ""}

	s3Puts    = price{"S3, PUT", 0.005 / 1e3, "request", "aws.amazon.com/s3/pricing", ""}
	s3Storage = price{"S3, storage", 0.023, "GB-month", "aws.amazon.com/s3/pricing", ""}

	secret      = price{"Secrets Manager, secret", 0.40, "month", "aws.amazon.com/secrets-manager/pricing", ""}
	secretCalls = price{"Secrets Manager, calls", 0.05 / 1e4, "call", "aws.amazon.com/secrets-manager/pricing", ""}

	logs    = price{"CloudWatch, logs taken in", 0.50, "GB", "aws.amazon.com/cloudwatch/pricing", ""}
	alarms  = price{"CloudWatch, alarm", 0.10, "month", "aws.amazon.com/cloudwatch/pricing", ""}
	metrics = price{"CloudWatch, metric of one's own", 0.30, "month", "aws.amazon.com/cloudwatch/pricing", ""}

	dataOut = price{"data out to the internet", 0.09, "GB", "aws.amazon.com/ec2/pricing/on-demand", ""}

	instance = price{"EC2 t4g.small (2 vCPU, 2 GB)", 0.0168, "hour", "aws.amazon.com/ec2/pricing/on-demand", ""}
	disk     = price{"EBS gp3", 0.08, "GB-month", "aws.amazon.com/ebs/pricing", ""}
	address  = price{"public IPv4 address", 0.005, "hour", "aws.amazon.com/vpc/pricing", ""}

	fargateCPU    = price{"Fargate, arm64", 0.03238, "vCPU-hour", "aws.amazon.com/fargate/pricing", ""}
	fargateMemory = price{"Fargate, arm64", 0.00356, "GB-hour", "aws.amazon.com/fargate/pricing", ""}
	balancer      = price{"Application Load Balancer", 0.0225, "hour", "aws.amazon.com/elasticloadbalancing/pricing", ""}
	balancerUnit  = price{"Application Load Balancer, 1 GB or 3,000 connections", 0.008, "LCU-hour", "aws.amazon.com/elasticloadbalancing/pricing", ""}
)

// prices are all of them, in the order in which they are shown.
var prices = []price{
	lambdaTime, lambdaRequests, dynamoWrites, dynamoReads, dynamoStorage, dynamoBackup, s3Puts, s3Storage,
	secret, secretCalls, logs, alarms, metrics, dataOut, instance, disk, address, fargateCPU, fargateMemory, balancer, balancerUnit,
}
