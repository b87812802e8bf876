'use strict'
// One role per function, each with just what its code calls. "*" stands only where AWS knows no narrower resource
// (lambda:GetAccountSettings).
const { zoneOf } = require('./express.cjs')

const bucket = (suffix = '') => ({ 'Fn::Sub': `\${Bucket.Arn}${suffix}` })

function allow(actions, resources) {
  return { Effect: 'Allow', Action: actions, Resource: resources }
}

function logs(service, name) {
  const group = `arn:\${AWS::Partition}:logs:\${AWS::Region}:\${AWS::AccountId}:log-group:/aws/lambda/${service}-${name}`
  return allow(['logs:CreateLogStream', 'logs:PutLogEvents'], [{ 'Fn::Sub': `${group}:*` }])
}

// Without a condition on s3:prefix: S3 answers 404 to GetObject of a missing key only where the caller may list the bucket,
// else 403, and GetObject carries no prefix. Ranks ask for objects that are yet to come.
const list = () => allow(['s3:ListBucket'], [bucket()])
const read = (...prefixes) => allow(['s3:GetObject'], prefixes.map((prefix) => bucket(`/${prefix}*`)))
const write = (...prefixes) => allow(['s3:PutObject'], prefixes.map((prefix) => bucket(`/${prefix}*`)))
const remove = (...prefixes) => allow(['s3:DeleteObject'], prefixes.map((prefix) => bucket(`/${prefix}*`)))

function readOthers(names) {
  const buckets = names.split(',').map((name) => name.trim()).filter(Boolean)
  return buckets.length
    ? [allow(['s3:GetObject'], buckets.map((name) => ({ 'Fn::Sub': `arn:\${AWS::Partition}:s3:::${name}/*` })))]
    : []
}

function exchange(service) {
  const named = (kind) => ({ 'Fn::Sub': `arn:\${AWS::Partition}:${kind}:\${AWS::Region}:\${AWS::AccountId}:${service}-lane-*` })
  return [
    // The embedded cloud asks for the ...Batch actions, which IAM does not know: there Publish and DeleteMessage cover them.
    allow(['sns:Publish', 'sns:PublishBatch'], [named('sns')]),
    allow(
      [
        'sqs:GetQueueAttributes',
        'sqs:SendMessage',
        'sqs:ReceiveMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:DeleteMessage',
        'sqs:DeleteMessageBatch',
      ],
      [named('sqs')],
    ),
  ]
}

function invoke(service, ...names) {
  const arn = (name) => `arn:\${AWS::Partition}:lambda:\${AWS::Region}:\${AWS::AccountId}:function:${service}-${name}`
  return allow(['lambda:InvokeFunction'], names.map((name) => ({ 'Fn::Sub': arn(name) })))
}

function role(service, name, statements) {
  return {
    Type: 'AWS::IAM::Role',
    Properties: {
      RoleName: { 'Fn::Sub': `${service}-${name}-\${AWS::Region}` },
      AssumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' }],
      },
      Policies: [
        {
          PolicyName: name,
          PolicyDocument: { Version: '2012-10-17', Statement: [logs(service, name), ...statements] },
        },
      ],
    },
  }
}

// Reading, writing and deleting: a directory bucket knows no narrower permission.
const express = (zone) => (zone ? [allow(['s3express:CreateSession'], [{ 'Fn::GetAtt': ['ExpressBucket', 'Arn'] }])] : [])

module.exports = async ({ resolveVariable }) => {
  const service = `${await resolveVariable('self:service')}-${await resolveVariable('sls:stage')}`
  const others = readOthers(String((await resolveVariable('param:readBuckets')) || ''))
  const zone = await zoneOf(resolveVariable)
  const roles = {
    InferRole: role(service, 'infer', [
      read('models/', 'bundles/', 'runs/', 'lanes/'),
      write('runs/', 'lanes/', 'dead/'),
      remove('runs/'),
      list(),
      ...exchange(service),
      invoke(service, 'worker', 'infer'),
      allow(['lambda:GetAccountSettings'], ['*']),
      allow(
        ['sqs:SendMessage', 'sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'],
        [{ 'Fn::GetAtt': ['LineQueue', 'Arn'] }],
      ),
      ...express(zone),
      ...others,
    ]),
    WorkerRole: role(service, 'worker', [
      read('bundles/', 'runs/', 'lanes/'),
      write('runs/'),
      // What a worker that came after its run's clean-up has written.
      remove('runs/*/claims/', 'runs/*/x/'),
      list(),
      ...exchange(service),
      allow(['sns:Publish'], [{ Ref: 'FailureTopic' }]),
      ...express(zone),
    ]),
    RegisterRole: role(service, 'register', [
      read('models/', 'bundles/', 'uploads/'),
      write('models/', 'bundles/'),
      remove('bundles/'),
      list(),
      ...others,
    ]),
    ModelsRole: role(service, 'models', [read('models/', 'bundles/'), list()]),
  }
  return { Resources: roles }
}
