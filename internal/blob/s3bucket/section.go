package s3bucket

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// section is a part of a very large object in the making: an object of its own that
// the store copies into the part when it is whole. Its zero value has not begun.
//
// Its own parts have CRC-32 for checksums and not CRC-32C: some stores would otherwise
// give the part that is copied the checksum of checksums that the section has.
type section struct {
	path string
	size int64
	sum  uint32 // CRC-32C of all its bytes
	multipart
}

func (s *section) add(p *buffer) {
	s.size += int64(p.size)
	s.sum = p.crc(s.sum, castagnoli)
}

// closeSection makes a part of the section, however much is in it, if it has begun.
func (u *upload) closeSection() error {
	if u.section.path == "" {
		return nil
	}
	if err := u.land(); err != nil {
		return err
	}
	s := u.section
	if err := u.complete(s.path, &s.multipart); err != nil {
		if size, _, headErr := u.bucket.head(u.ctx, s.path); headErr != nil || size != s.size {
			return failed(err)
		}
	}
	if err := u.begin(u.path, &u.state.multipart); err != nil {
		return err
	}
	p, err := u.copyPart(&s, len(u.state.Parts)+1)
	if err != nil {
		return err
	}
	u.state.Parts = append(u.state.Parts, p)
	u.section = section{}
	_ = u.bucket.remove(u.ctx, s.path) // if it stays, Uploads finds it
	return nil
}

// copyPart has the store copy a section into a part.
func (u *upload) copyPart(s *section, number int) (part, error) {
	out, err := u.bucket.client.UploadPartCopy(u.ctx, &s3.UploadPartCopyInput{
		Bucket: u.bucket.name, Key: &u.path, UploadId: &u.state.ID, PartNumber: aws.Int32(int32(number)),
		CopySource: u.bucket.copySource(s.path),
	})
	if err != nil {
		return part{}, failed(fmt.Errorf("part %d: %w", number, err))
	}
	p := part{ETag: aws.ToString(out.CopyPartResult.ETag)}
	if u.state.Sums {
		p.Sum = sumText(s.sum)
		if sum := aws.ToString(out.CopyPartResult.ChecksumCRC32C); sum != "" && sum != p.Sum {
			return part{}, fmt.Errorf("part %d: the store has copied other bytes than it was sent", number)
		}
	}
	return p, nil
}
