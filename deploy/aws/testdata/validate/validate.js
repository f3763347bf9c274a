// Validates a CloudFormation template offline and prints what the validator that
// the AWS CDK brings says of it, as JSON.
// Arguments: the template's path, and its parameters as a JSON object.
const { CelEngine, TemplateFile } = require(
  require.resolve('@aws/cloudformation-validate', { paths: [require.resolve('aws-cdk-lib/package.json')] }))

const [path, parameters] = process.argv.slice(2)
const engine = new CelEngine()
const { diagnostics } = engine.validateStandard(new TemplateFile(path), { parameterOverrides: JSON.parse(parameters) })
engine.free()
console.log(JSON.stringify(diagnostics))
