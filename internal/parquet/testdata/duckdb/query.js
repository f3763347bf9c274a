// Runs queries, given as JSON on standard input, on the Parquet files below a
// directory, and prints the rows of each as JSON.
const { DuckDBInstance } = require('@duckdb/node-api')

async function main () {
  const { directory, queries } = JSON.parse(require('fs').readFileSync(0, 'utf8'))
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  await connection.run(`CREATE VIEW exchanges AS SELECT * FROM read_parquet('${directory}/*/*.parquet', hive_partitioning = true)`)
  const results = []
  for (const query of queries) {
    const reader = await connection.runAndReadAll(query)
    results.push({ columns: reader.columnNames(), rows: reader.getRowsJson() })
  }
  process.stdout.write(JSON.stringify(results))
}

main().catch(error => { console.error(String(error)); process.exit(1) })
