'use strict'
// Empties a bucket of an S3 that lists two entries a page (versions, delete markers, uploads) and refuses to delete one key.
// Arguments: deploy/empty.cjs; a JSON object {versions, markers, uploads, refused, bucket}. Prints what happened, as JSON.
const { emptyBucket } = require(process.argv[2])
const { versions, markers, uploads, refused, bucket } = JSON.parse(process.argv[3])
const PAGE = 2
const state = { versions, markers, uploads }
const calls = []

const same = (left, right) => left.Key === right.Key && left.VersionId === right.VersionId
const without = (list, gone) => list.filter((item) => !gone.some((other) => same(item, other)))

const s3 = {
  listObjectVersions() {
    const Versions = state.versions.slice(0, PAGE)
    return { Versions, DeleteMarkers: state.markers.slice(0, PAGE - Versions.length) }
  },
  listObjectsV2: () => ({ Contents: state.versions.slice(0, PAGE) }),
  deleteObjects({ Delete: { Objects } }) {
    const gone = Objects.filter(({ Key }) => Key !== refused)
    state.versions = without(state.versions, gone)
    state.markers = without(state.markers, gone)
    const kept = Objects.filter(({ Key }) => Key === refused)
    return { Errors: kept.map(({ Key }) => ({ Key, Code: 'AccessDenied', Message: 'no' })) }
  },
  listMultipartUploads: () => (state.uploads.length > 0 ? { Uploads: state.uploads.slice(0, PAGE) } : {}),
  abortMultipartUpload({ UploadId }) {
    state.uploads = state.uploads.filter((upload) => upload.UploadId !== UploadId)
  },
}

async function send(method, params) {
  calls.push([method, params.Bucket])
  return s3[method](params)
}

emptyBucket(send, bucket).then(
  (deleted) => console.log(JSON.stringify({ deleted, state, calls })),
  (error) => console.log(JSON.stringify({ error: error.message })),
)
