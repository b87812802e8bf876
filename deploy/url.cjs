'use strict'
// The function URL of `infer` (--param functionUrl=iam): callers sign their requests and need lambda:InvokeFunctionUrl.
// There is no value that opens it to everybody.

const refusal = require('./refusal.cjs')

module.exports = async ({ resolveVariable }) => {
  const wanted = String(await resolveVariable('param:functionUrl'))
  if (wanted === 'off') return false
  if (wanted !== 'iam') throw refusal(`--param functionUrl: expected off or iam, got ${wanted}`)
  return { authorizer: 'aws_iam' }
}
